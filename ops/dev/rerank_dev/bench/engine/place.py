"""Where the benchmark's models, requests and logs lie, and which Python runs whom."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from rerank_dev.bench.engine.children import child_environment
from rerank_dev.bench.engine.lineup.models import CATALOGUE, RANDOM, BenchModel
from rerank_dev.bench.engine.prepare import READY, STATUS_FILE
from rerank_dev.bench.engine.texts import Count
from rerank_shared.models.catalogue import load_files
from rerank_worker.supervisor.cores import affinity

OUTPUT = Path("build/bench/engine.json")
WORK = Path("build/bench/models")
CATALOGUE_MODEL = "cross-encoder/ms-marco-MiniLM-L-12-v2"


@dataclass(frozen=True, slots=True)
class Place:
    """Folders and interpreters of one run of the benchmark."""

    work: Path
    peers_python: str

    @property
    def calibration(self) -> Path:
        """Pairs that static quantisation is calibrated on; none of them is raced."""
        return self.work / "calibration.json"

    @property
    def core(self) -> int:
        """The core that all contenders take turns on: the last, since the first serves most interrupts."""
        return affinity()[-1]

    def root(self, model: BenchModel) -> Path:
        """The folder of a model's files, one folder in it for each form."""
        return self.work / model.name

    def python(self, ours: bool) -> str:
        """The interpreter of a contender."""
        return sys.executable if ours else self.peers_python

    def log(self, name: str) -> Path:
        """Where a contender's own output goes."""
        return self.work / "logs" / f"{name}.txt"

    def prepare(self, model: BenchModel, forms: Sequence[str], *, again: Sequence[str] = ()) -> dict[str, str | None]:
        """Make what is missing of these forms of a model, and those in `again`; return why a form could not be made."""
        source = _source(model)
        root = self.root(model)
        root.mkdir(parents=True, exist_ok=True)
        for name in again:
            (root / name / READY).unlink(missing_ok=True)
        command = [self.peers_python, "-m", "rerank_dev.bench.engine.prepare", str(root), source]
        (root / STATUS_FILE).unlink(missing_ok=True)
        log = self.log(f"{model.name}-prepare")
        log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with log.open("w") as output:
                subprocess.run(
                    [*command, str(self.calibration), *forms],
                    check=True,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=child_environment(),
                )
            status: dict[str, str | None] = json.loads((root / STATUS_FILE).read_text(encoding="utf-8"))
        except (OSError, subprocess.CalledProcessError) as error:
            return dict.fromkeys(forms, f"the models were not made: {error}; see {log}")
        return status


def _source(model: BenchModel) -> str:
    if model.source not in (CATALOGUE, RANDOM):
        return model.source
    directory = str(load_files(CATALOGUE_MODEL).model_path.parent)
    return directory if model.source == CATALOGUE else f"random:{directory}"


def counter() -> Count:
    """Return what counts the tokens of texts, special ones not included; all models have the same vocabulary."""
    tokenizer = Tokenizer.from_file(str(load_files(CATALOGUE_MODEL).tokenizer_path))
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def count(texts: Sequence[str]) -> list[int]:
        return [len(encoding.ids) for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    return count
