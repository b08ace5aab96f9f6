"""Opened source: the body that graphs are built from, and the reference that they must equal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from rerank_ops.export.full_precision import to_fp32
from rerank_ops.export.graph.architecture import AnyBody, read_body, refuses
from rerank_ops.export.onnx_scores import keep_logits
from rerank_ops.export.plain import export_plain
from rerank_ops.export.reference import Score, onnx_reference, torch_reference
from rerank_ops.export.sources.checkpoint import CONFIG_FILE, from_directory, read_json
from rerank_ops.export.sources.family import own_code
from rerank_ops.export.sources.modular import merge_modules, module_folders
from rerank_ops.export.sources.onnx_weights import load_onnx, weights_of
from rerank_ops.export.sources.source import Source
from rerank_ops.export.sources.weights import Weights
from rerank_shared.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Opened:
    """A source with its weights read.

    `body` is None where only the plain graph can be exported; `plain_because` is the reason. `write_plain` writes the
    model's own fp32 graph into a directory and returns its path.
    """

    config: dict[str, Any]
    body: AnyBody | None
    plain_because: str
    reference: Score
    write_plain: Callable[[Path], Path]


def open_source(source: Source, scratch: Path, *, surgery: bool = True) -> Opened:
    """Read the weights of a source; `scratch` is a directory for files that are needed until the export ends.

    Raises ConfigurationError or ModelDamaged for a source that can't be read.
    """
    if source.onnx is None:
        return _open_weights(source, scratch, surgery)
    return _open_onnx(source, source.onnx, scratch, surgery)


def _open_weights(source: Source, scratch: Path, surgery: bool) -> Opened:
    modular = bool(module_folders(source.directory))
    directory = merge_modules(source.directory, scratch / "merged") if modular else source.directory
    config = read_json(directory / CONFIG_FILE)
    reason = _reason(config, surgery)
    return Opened(
        config=config,
        body=None if reason else _checked_body(source.model, config, directory),
        plain_because=reason,
        reference=torch_reference(directory),
        write_plain=lambda output: export_plain(directory, output),
    )


def _open_onnx(source: Source, path: Path, scratch: Path, surgery: bool) -> Opened:
    loaded = load_onnx(path)
    reason = keep_logits(loaded)
    model, fp32 = to_fp32(loaded), scratch / "source.onnx"
    config, weights = source.config, None
    try:
        weights = weights_of(model, config)
        config = weights.config
        reason = reason or _reason(config, surgery)
    except ConfigurationError as error:
        reason = reason or error.message
    # This changes the model: its weights are outside of it from here on.
    onnx.save(model, fp32, save_as_external_data=True, location="source.bin")
    return Opened(
        config=config or {"model_type": "unknown"},
        body=None if reason or weights is None else _body(weights),
        plain_because=reason,
        reference=onnx_reference(fp32),
        write_plain=lambda _: fp32,
    )


def _reason(config: dict[str, Any], surgery: bool) -> str:
    return (refuses(config) or "") if surgery else "it was asked for"


def _checked_body(model: str, config: dict[str, Any], directory: Path) -> AnyBody:
    """Return the body of a directory's weights. Raises the error of own code where the repository has some."""
    try:
        return _body(from_directory(directory))
    except ConfigurationError:
        if "auto_map" in config:
            raise own_code(model, config) from None
        raise


def _body(weights: Weights) -> AnyBody:
    return read_body(weights.config, weights.tensors)
