"""Agreement: a worker scores a model as the fleet does, since scores of two kernels must not share one answer. Pure.

Requests whose shards were scored in two ways are scored once more by one worker, so a mixed fleet is right and slow.
"""

from __future__ import annotations

from collections.abc import Callable

from rerank_shared.errors import ConfigurationError
from rerank_shared.models.precision import by_kernel, kernel_variant
from rerank_shared.settings import KernelName
from rerank_worker.engine.kernels.choice import AVX2, Choice


def agree(choice: Choice, wanted: KernelName, served: str, named: Callable[[KernelName], Choice]) -> Choice:
    """Return the choice of a worker that joins a fleet which serves its model in the precision `served`.

    `named` returns the choice for one kernel, as `choose` does. A kernel that the settings name is kept. Raises
    ConfigurationError if this host can't score as the fleet does.
    """
    kernel = choice.kernel
    if wanted != "auto" or served == (kernel.precision if kernel else None):
        return choice
    variant = kernel_variant(served)
    if variant is None and by_kernel(served):
        raise ConfigurationError(
            f"the fleet scores this model in {served}, by a kernel that this release does not know. Upgrade this host, "
            "or set RERANK_KERNEL=onnxruntime on every worker"
        )
    if variant is None:
        if kernel is None:
            return choice
        return Choice(
            None, f"the fleet scores in {served}; RERANK_KERNEL={kernel.variant} on every worker would change that"
        )
    try:
        found = named(variant)
    except ConfigurationError as error:
        reason = choice.reason if kernel is None else error.message
    else:
        if found.kernel is not None and found.kernel.precision == served:
            return Choice(found.kernel, f"the fleet scores in {served}")
        reason = f"its library has {found.kernel.precision}" if found.kernel else found.reason
    common = AVX2 if variant != AVX2 and _to_be_had(AVX2, named) else "onnxruntime"
    raise ConfigurationError(
        f"the fleet scores this model in {served}, and this host can't: {reason}. Set RERANK_KERNEL={common} on every "
        "worker, or RERANK_KERNEL=onnxruntime on this one alone to mix the two, which makes requests slow"
    )


def _to_be_had(variant: KernelName, named: Callable[[KernelName], Choice]) -> bool:
    try:
        return named(variant).kernel is not None
    except ConfigurationError:
        return False
