"""What a bulk run is asked to do, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rerank_producer.bulk.asking.fusing import RunFusion
from rerank_producer.bulk.asking.window import MOST_REQUESTS
from rerank_producer.bulk.committed.committed_run import failed_of
from rerank_producer.bulk.committed.fingerprint import OUTPUT_RELEASE, Fingerprint, of_inputs
from rerank_producer.bulk.formats.rows import Format, ReadOptions, WriteOptions

OnError = Literal["quarantine", "skip", "fail"]


@dataclass(frozen=True, slots=True)
class BulkSpec:
    """A run: `format` reads its input and writes its output.

    - `output`: None for standard output, which can't go on after a kill.
    - `on_error`: rows that fail go to the file `failed`, or are left out, or end the run.
    - `max_errors`: failed rows after which the run ends; None: it goes on.
    - `limit_queries`: rows that are asked, the first ones; None: all.
    - `private_cache`: scores are neither taken from the cache nor left in it for others.
    - `patience_s`: seconds without any answer after which the run ends; None: it waits for ever.
    """

    format: Format
    output: Path | None
    read: ReadOptions = field(default_factory=ReadOptions)
    write: WriteOptions = field(default_factory=WriteOptions)
    fusion: RunFusion = field(default_factory=RunFusion)
    on_error: OnError = "quarantine"
    failed: Path | None = None
    max_errors: int | None = None
    limit_queries: int | None = None
    private_cache: bool = False
    overwrite: bool = False
    retry_failed: bool = False
    patience_s: float | None = None
    most_requests: int = MOST_REQUESTS

    @property
    def failed_path(self) -> Path:
        """The file of failed rows, where there is one."""
        return self.failed or failed_of(self.output or Path("stdout"))

    def fingerprint(self) -> Fingerprint:
        """Return what the output depends on besides the model. Raises OSError for a file that can't be read."""
        return {
            "release of the output": OUTPUT_RELEASE,
            "format": self.format.name,
            **of_inputs(self.format.inputs()),
            "depth": self.read.depth,
            "chunk_bytes": self.read.chunk_bytes,
            "top_n": self.write.top_n,
            "score_only": self.write.score_only,
            "keep_ties": self.write.keep_ties,
            "tag": self.write.tag,
            "fusion": self.fusion.method,
            "fusion_weight": self.fusion.weight,
            "fusion_ratio": self.fusion.ratio,
            "first_stage_order": self.fusion.order,
            "on_error": self.on_error,
            "limit_queries": self.limit_queries,
        }

    def stamps(self) -> dict[str, int | None]:
        """Return when each input was last changed, in nanoseconds; None for standard input. Raises OSError."""
        return {name: None if path is None else path.stat().st_mtime_ns for name, path in self.format.inputs().items()}
