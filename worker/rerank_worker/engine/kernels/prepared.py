"""Prepared kernel: the weights of a model in the form that the kernels read, written once a host and mapped by all.

A kernel is used only after a trial: over frozen inputs it must give what the graph's own operators give, within the
error of int8. The directory's name holds the library's digest, so another build goes through a trial of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import onnxruntime

from rerank_shared.contract.digest import file_digest
from rerank_shared.errors import ModelDamaged
from rerank_shared.models.manifest import KernelCalls
from rerank_worker.engine.kernels import library
from rerank_worker.engine.kernels.choice import Kernel
from rerank_worker.engine.layouts import Feeds
from rerank_worker.engine.published import is_whole, publish, scratch_for
from rerank_worker.engine.session import exact_options, open_session, session_options

log = logging.getLogger(__name__)
Int8s = npt.NDArray[np.int8]
#: Largest difference of the rows, as a share of their own root mean square. Two int8 forms of one model differ by a
#: tenth of it; a wrong weight, mask or order by more than its whole.
_TOLERANCE = 0.3


class KernelDiffers(Exception):
    """A kernel gave other results than the operators that it replaces."""


@dataclass(frozen=True, slots=True)
class PreparedKernel:
    """A kernel and the packed weights that its sessions read. It must live as long as they do.

    ONNX Runtime keeps pointers into `values`, and those into `weights`.
    """

    kernel: Kernel
    weights: Mapping[str, Int8s]
    values: Mapping[str, Any]

    @classmethod
    def reading(cls, kernel: Kernel, weights: Mapping[str, Int8s]) -> Self:
        """Return the kernel over packed weights."""
        values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(weight) for name, weight in weights.items()}
        return cls(kernel, weights, values)

    @classmethod
    def of(
        cls, kernel: Kernel, calls: KernelCalls, graph: Path, feeds: Sequence[Feeds], directory: Path | None
    ) -> Self:
        """Return the kernel with the weights of `graph`, packed now if they have not been here.

        It is tried on `feeds` once for the graph of each layout. `directory` holds packed weights of this model and
        host; None, or one that can't be written: the process keeps a copy of its own. Raises KernelDiffers if the
        trial fails, ModelDamaged if the graph or the weights can't be loaded.
        """
        if directory is not None:
            final = directory / f"kernel-{kernel.precision}-{file_digest(str(kernel.path))[:12]}"
            try:
                if not is_whole(final):
                    with scratch_for(final) as scratch:
                        _write(calls, graph.parent, scratch)
                        cls.reading(kernel, _mapped(calls, scratch)).check(graph, feeds)
                        _tried(graph, scratch).touch()
                        publish(scratch, final)
                prepared = cls.reading(kernel, _mapped(calls, final))
                if not _tried(graph, final).exists():
                    prepared.check(graph, feeds)
                    with suppress(OSError):
                        _tried(graph, final).touch()
                return prepared
            except OSError as error:
                log.warning(
                    "weights for kernels not kept, each process has its own copy path=%s error=%r", final, error
                )
        prepared = cls.reading(kernel, pack_weights(calls, graph.parent))
        prepared.check(graph, feeds)
        return prepared

    def check(self, graph: Path, feeds: Sequence[Feeds]) -> None:
        """Raise KernelDiffers if over `feeds` the graph's rows differ from those of the graph's own operators.

        Raises ModelDamaged if the graph can't be loaded.
        """
        # The weights may be of all 8 bits, at which the operators' usual products saturate on some CPUs.
        kernel, operators = self.open(graph), open_session(graph, optimise=False, options=exact_options())
        names = [node.name for node in operators.get_inputs()]
        for fed in ({name: each[name] for name in names} for each in feeds):
            found, expected = (np.asarray(session.run(None, fed)[0], np.float64) for session in (kernel, operators))
            difference = float(np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2)))
            if not difference <= _TOLERANCE:
                raise KernelDiffers(
                    f"over {len(expected)} rows it differs from ONNX Runtime's operators by {difference:.2g} of their "
                    "size"
                )

    def open(self, graph: Path) -> Any:
        """Return a session of `graph` whose layers run by the kernel. Raises ModelDamaged if it can't be loaded."""
        options = session_options(optimise=False)
        options.register_custom_ops_library(str(self.kernel.path))
        for name, value in self.values.items():
            options.add_initializer(name, value)
        return open_session(graph, optimise=False, options=options)


def _tried(graph: Path, directory: Path) -> Path:
    return directory / f"tried-{graph.stem}"


def _write(calls: KernelCalls, source: Path, directory: Path) -> None:
    for number, weight in enumerate(pack_weights(calls, source).values()):
        np.save(directory / f"{number}.npy", weight)


def pack_weights(calls: KernelCalls, source: Path) -> dict[str, Int8s]:
    """Return the weights of an artefact's calls by name, packed for any kernel and layout.

    Raises ModelDamaged if the artefact's file can't be read, or is shorter than it must be.
    """
    try:
        stored = np.memmap(source / calls.file, dtype=np.int8, mode="r")
    except (OSError, ValueError) as error:
        raise ModelDamaged(f"{source / calls.file} can't be read ({error}): copy or export the model again") from None
    packed = {}
    for name, (offset, inputs, outputs) in calls.weights.items():
        plain = stored[offset : offset + inputs * outputs]
        if plain.size != inputs * outputs:
            raise ModelDamaged(f"{source / calls.file} ends before {name}: copy or export the model again")
        packed[name] = library.pack(plain.reshape(inputs, outputs))
    return packed


def _mapped(calls: KernelCalls, directory: Path) -> dict[str, Int8s]:
    return {name: np.load(directory / f"{number}.npy", mmap_mode="r") for number, name in enumerate(calls.weights)}
