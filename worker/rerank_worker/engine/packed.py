"""Packed weights: weights in the form that this CPU's kernels use, written once a host and mapped by all processes.

ONNX Runtime repacks the weights of matrix products for its CPU, in private memory of each process: a second copy of the
model for every core. Packed weights on disk are shared like the rest of weights.bin. They fit one build of the runtime
and one kind of CPU, so the directory's name depends on both. A new file is used only after a run over it gives the same
bits as the original, and later only while its digests match.
"""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime

from rerank_shared.errors import ModelDamaged
from rerank_shared.models.cpu import cpu_name, host_features
from rerank_shared.settings import EngineSettings
from rerank_shared.user_cache import user_cache
from rerank_worker.engine.layouts import Feeds
from rerank_worker.engine.published import is_whole, publish, scratch_for
from rerank_worker.engine.session import open_session, session_options

log = logging.getLogger(__name__)
#: The position of a packed weight in its file, as a packed graph states it: "|offset;length;checksum".
_OFFSET = re.compile(rb"\|(\d+);\d+;\d+")
#: Some kernels read packed weights by cache lines, and crash the process if a weight does not begin at one.
_ALIGNMENT = 64
_SAVE = {
    "session.optimized_model_external_initializers_min_size_in_bytes": "1024",
    "session.save_external_prepacked_constant_initializers": "1",
}


@dataclass(frozen=True, slots=True)
class PackedWeights:
    """The packed graphs of one model on this host. `directory` None: the exported graphs are opened as they are."""

    directory: Path | None

    @classmethod
    def of(cls, settings: EngineSettings, model_digest: str) -> Self:
        """Return the packed weights of the model with this digest, in the directory of the settings."""
        if settings.packed_dir == "off":
            return cls(None)
        try:
            root = Path(settings.packed_dir).expanduser() if settings.packed_dir else user_cache()
        except RuntimeError as error:
            # A container may run under a user that has no entry in passwd.
            log.warning("weights not packed: set RERANK_PACKED_DIR to a directory error=%s", error)
            return cls(None)
        return cls(root / _key(model_digest))

    def open(self, graph: Path, feeds: Feeds, threads: int) -> Any:
        """Return a session of `graph` on packed weights, which are written now if missing.

        `feeds` are the inputs of the comparison with the original. If the packed weights can't be written or give other
        bits, the session runs the graph as exported. Raises ModelDamaged if that can't be loaded either.
        """
        if self.directory is not None:
            packed = self.directory / graph.stem / graph.name
            try:
                if is_whole(packed.parent) or _write(graph, packed, feeds):
                    return open_session(packed, optimise=False, threads=threads)
            except (OSError, ModelDamaged) as error:
                # ONNX Runtime reports a full disk as a graph that can't be loaded.
                log.warning("weights not packed, each process keeps its own copy path=%s error=%r", packed, error)
        return open_session(graph, optimise=False, threads=threads)


def _write(graph: Path, packed: Path, feeds: Feeds) -> bool:
    """Pack into a scratch directory and rename it to its final path, so that no process reads a partial one.

    Return whether the packed graph may be used.
    """
    with scratch_for(packed.parent) as scratch:
        options = session_options(optimise=False)
        options.optimized_model_filepath = str(scratch / graph.name)
        settings = {**_SAVE, "session.optimized_model_external_initializers_file_name": f"{graph.stem}.bin"}
        for name, value in settings.items():
            options.add_session_config_entry(name, value)
        original = open_session(graph, optimise=False, options=options)
        if not is_aligned(scratch / graph.name):
            log.warning("weights not packed: their offsets are not multiples of 64 bytes graph=%s", graph)
            return False
        if not _equal(original, open_session(scratch / graph.name, optimise=False), feeds):
            log.warning("packed weights not used: they give other scores on this host graph=%s", graph)
            return False
        publish(scratch, packed.parent)
        return True


def is_aligned(packed: Path) -> bool:
    """Return whether every packed weight of a graph begins at a cache line.

    ONNX Runtime up to 1.31 writes them end to end; 1.32 aligns each to a cache line.
    """
    offsets = [int(offset) for offset in _OFFSET.findall(packed.read_bytes())]
    return bool(offsets) and all(offset % _ALIGNMENT == 0 for offset in offsets)


def _equal(one: Any, other: Any, feeds: Feeds) -> bool:
    fed = {node.name: feeds[node.name] for node in one.get_inputs()}
    pairs = zip(one.run(None, fed), other.run(None, fed), strict=True)
    return all(np.array_equal(first, second) for first, second in pairs)


def _key(model_digest: str) -> str:
    features = ",".join(sorted(host_features().names))
    parts = "\n".join((model_digest, onnxruntime.__version__, cpu_name(), features))
    return hashlib.sha256(parts.encode()).hexdigest()[:32]
