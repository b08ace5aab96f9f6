"""Exported models for tests: a tiny real graph with the real tokenizer, and whatever manifest the test wants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rerank_shared.contract.digest import file_digest
from rerank_shared.models.manifest import MANIFEST_FILE, Manifest, Origin, Quality, write_manifest
from rerank_worker.tokenizing import PairTokenizer
from support.model.poison import write_poison_model

MODEL = "tests/tiny-reranker"
PASSED = Quality(pairs=320, spearman=0.999, rmse=0.1, max_difference=0.5, invariance={"unpadded": True})
FAILED = PASSED.model_copy(
    update={"spearman": 0.9871, "failures": ("the Spearman correlation is 0.9871, below 0.995",)}
)


def write_artefact(directory: Path, quality: Quality | None = PASSED, **changes: Any) -> Manifest:
    """Write an exported model that a worker can serve; `changes` are fields of its manifest."""
    write_poison_model(directory)
    (directory / "model.onnx").rename(directory / "unpadded.onnx")
    fields: dict[str, Any] = {
        "model": MODEL,
        "source": Origin(kind="directory", name="tiny", digest="0" * 64),
        "family": "none",
        "surgery": False,
        "precision": "fp32",
        "opset": 14,
        "versions": {"onnx": "1"},
        "max_length": 256,
        "template": str(PairTokenizer(directory / "tokenizer.json").template),
        "activation": "identity",
        "layouts": {"unpadded": "unpadded.onnx"},
        "files": {path.name: file_digest(str(path)) for path in sorted(directory.iterdir())},
        "quality": quality,
    }
    manifest = Manifest(**fields | changes)
    write_manifest(directory, manifest)
    return manifest


def rewrite(directory: Path, **fields: Any) -> None:
    """Set fields in the manifest of an artefact, also such as this release does not know."""
    path = directory / MANIFEST_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | fields), encoding="utf-8")


def damage(path: Path) -> None:
    """Change one byte in the middle of a file, as a bad disk or a cut copy does."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
