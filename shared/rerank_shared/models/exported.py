"""Artefact check: decides whether an artefact may be served: its files match its manifest, its quality is in bounds.

The quality gate of the export and every worker judge by these rules. Nothing is loaded or scored here.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rerank_shared.contract.digest import file_digest
from rerank_shared.errors import ConfigurationError, ModelDamaged, ModelRefused
from rerank_shared.models.cpu import CpuFeatures, int8_note, refuse_reason
from rerank_shared.models.manifest import (
    MANIFEST_FILE,
    Bounds,
    FollowingBounds,
    Manifest,
    Quality,
    Shortened,
    check_files,
    read_manifest,
)
from rerank_shared.models.precision import PRECISION, LayoutName, PrecisionName
from rerank_shared.settings import QualityGateSettings

log = logging.getLogger(__name__)
#: The execution providers of a session by default, as ONNX Runtime names them.
PROVIDERS = ("CPUExecutionProvider",)
TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True, slots=True)
class Exported:
    """An artefact that may be served; `digest` is that of its graphs and weights as they are now."""

    manifest: Manifest
    digest: str
    graph: Path
    weights: tuple[Path, ...]


def bounds_of(settings: QualityGateSettings) -> Bounds:
    """Return the bounds of the quality gate in the settings."""
    return Bounds(min_ndcg_ratio=settings.gate_min_ndcg_ratio, min_spearman=settings.gate_min_spearman)


def broken_bounds(
    quality: Quality, precision: PrecisionName, layouts: Iterable[LayoutName], bounds: Bounds
) -> tuple[str, ...]:
    """Return a sentence with numbers for each bound that the report of a model with these `layouts` breaks."""
    broken = []
    if quality.pairs == 0:
        broken.append("no pair of the frozen set was scored")
    elif quality.spearman < bounds.min_spearman:
        broken.append(
            f"the Spearman correlation with fp32 is {quality.spearman:.4f} over {quality.pairs} pairs, "
            f"below {bounds.min_spearman:g}"
        )
    for found in quality.collections:
        if found.ndcg_10 < bounds.min_ndcg_ratio * found.ndcg_10_fp32:
            broken.append(
                f"nDCG@10 on {found.name} is {found.ndcg_10:.4f}, {found.ndcg_10 / found.ndcg_10_fp32:.4f} of fp32's "
                f"{found.ndcg_10_fp32:.4f}, below {bounds.min_ndcg_ratio:g}"
            )
    promised = PRECISION[precision].invariant_layouts
    for layout in (layout for layout in layouts if layout in promised and not quality.invariance.get(layout, False)):
        told = "changes with order or company" if layout in quality.invariance else "was not looked at"
        broken.append(f"{precision} promises a score of the pair alone in layout {layout}, where it {told}")
    return tuple(broken)


def broken_following(shortened: Shortened, bounds: FollowingBounds | None = None) -> tuple[str, ...]:
    """Return a sentence with numbers for each bound that a shortened model breaks, against the whole model."""
    bounds = bounds or FollowingBounds()
    kept = f"with {shortened.kept} of {shortened.layers} layers"
    where = f"over {shortened.measured_lists} lists"
    broken = []
    # A figure that is no number breaks its bound, too.
    if not shortened.correlation >= bounds.min_correlation:
        broken.append(
            f"{kept} the correlation with the whole model is {shortened.correlation:.4f} {where}, below "
            f"{bounds.min_correlation:g}"
        )
    if not shortened.overlap_at_10 >= bounds.min_overlap_at_10:
        broken.append(
            f"{kept} it has {shortened.overlap_at_10:.4f} of the whole model's best ten {where}, below "
            f"{bounds.min_overlap_at_10:g}"
        )
    return tuple(broken)


def open_exported(directory: Path, bounds: Bounds | None = None, *, unsafe: bool = False) -> Exported:
    """Return the artefact in a directory that holds a manifest.json.

    Raises ModelDamaged if a file is missing or differs, ModelRefused if the quality report is missing, has failures, or
    breaks `bounds`. With `unsafe` both are logged instead, and only a manifest that can't be used raises: ModelDamaged,
    or ConfigurationError for a kind of model that this release has no scorer for.
    """
    manifest = read_manifest(directory)
    _check_names(directory, manifest)
    digests: Mapping[str, str] = manifest.files
    try:
        check_files(directory, manifest)
    except ModelDamaged as error:
        _refuse(ModelDamaged(error.message), manifest, unsafe=unsafe)
        digests = {name: file_digest(str(path)) for name in manifest.files if (path := directory / name).is_file()}
    if reason := refusal(manifest, bounds or Bounds()):
        _refuse(ModelRefused(f"{directory}: {reason}"), manifest, unsafe=unsafe)
    weights = _weights(digests)
    return Exported(
        manifest=manifest,
        digest=weights_digest(weights),
        graph=directory / main_graph(manifest),
        weights=tuple(directory / name for name in sorted(weights)),
    )


def told_digest(manifest: Manifest) -> str:
    """Return what `open_exported` returns as `digest` of an artefact whose files match its manifest."""
    return weights_digest(_weights(manifest.files))


def _weights(digests: Mapping[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in digests.items() if not name.endswith(".json")}


def refusal(manifest: Manifest, bounds: Bounds) -> str | None:
    """Return the reason why the quality report of a manifest does not allow serving, None if it does."""
    quality = manifest.quality
    if quality is None:
        return f"{manifest.model} ({manifest.precision}) was never put through the quality gate; export it again"
    broken = [*quality.failures, *broken_bounds(quality, manifest.precision, manifest.layouts, bounds)]
    too_short = broken_following(manifest.shortened) if manifest.shortened is not None else ()
    if not (broken or too_short):
        return None
    why = "; ".join(dict.fromkeys((*broken, *too_short)))
    how = "with more layers (--depth)" if too_short else "in another precision"
    return f"{manifest.model} ({manifest.precision}) failed its quality gate: {why}. Export it {how}"


def weights_digest(digests: Mapping[str, str]) -> str:
    """Return one SHA-256 of files by name: that of their sorted names and digests; a single file's is its own."""
    if len(digests) == 1:
        return next(iter(digests.values()))
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def check_template(manifest: Manifest | None, template: str, *, unsafe: bool = False) -> None:
    """Check that the tokenizer's template for pairs is the one that an artefact was measured with.

    Raises ModelDamaged where it is another one; `unsafe` as in `open_exported`.
    """
    if manifest is not None and template != manifest.template:
        _refuse(
            ModelDamaged(
                f"the tokenizer of {manifest.model} puts pairs together as {template}, its manifest says "
                f"{manifest.template}: export it again with this version"
            ),
            manifest,
            unsafe=unsafe,
        )


def check_device(
    manifest: Manifest | None,
    features: CpuFeatures,
    providers: Sequence[str] = PROVIDERS,
    *,
    by_kernel: bool = False,
    unsafe: bool = False,
) -> None:
    """Check that the precision of an artefact is for the device that it is to run on.

    Raises ConfigurationError where it is not; `unsafe` as in `open_exported`. `by_kernel`: a kernel runs the layers,
    whose products saturate nowhere.
    """
    if manifest is None:
        return
    reason = refuse_reason(manifest.precision, features, providers)
    if reason is None and not by_kernel:
        reason = _saturation(manifest, features)
    if reason is not None:
        _refuse(ConfigurationError(reason), manifest, unsafe=unsafe)


def _saturation(manifest: Manifest, features: CpuFeatures) -> str | None:
    """Return why ONNX Runtime's products of these weights would be wrong on a CPU, None where they are right."""
    note = int8_note(features) if manifest.precision.startswith("int8") and not manifest.reduced_range else None
    if note is None:
        return None
    kernel = "set RERANK_KERNEL=avx2, whose sums never saturate, on every worker, or " if manifest.kernels else ""
    return (
        f"{note}, and these use all 8: their scores would be wrong here; {kernel}export the model again with "
        "--reduced-range"
    )


def main_graph(manifest: Manifest) -> str:
    """Return the file name of the graph that stands for the model: that of layout unpadded, else the first."""
    if not manifest.layouts:
        raise ModelDamaged(f"the {MANIFEST_FILE} of {manifest.model} names no graph: export it again")
    return manifest.layouts.get("unpadded") or next(iter(manifest.layouts.values()))


def _refuse(error: ConfigurationError, manifest: Manifest, *, unsafe: bool) -> None:
    if not unsafe:
        raise type(error)(f"{error.message}, or serve it all the same with --unsafe (RERANK_UNSAFE=true)") from None
    # Critical, since no log setting hides that level.
    log.critical("UNSAFE model served model=%s reason=%r", manifest.model, error.message)


def _check_names(directory: Path, manifest: Manifest) -> None:
    needed = {*manifest.layouts.values(), TOKENIZER_FILE} | ({manifest.tail} if manifest.tail else set())
    if unlisted := sorted(needed - set(manifest.files)):
        raise ModelDamaged(f"{directory / MANIFEST_FILE} has no digest of {', '.join(unlisted)}: export it again")
    for name in manifest.files:
        refuse_outside(directory, name)


def refuse_outside(directory: Path, name: str) -> None:
    """Raise ConfigurationError if a file name from a model leads out of the model's directory."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ConfigurationError(f"the model in {directory} names a file outside of its directory: {name!r}")
