"""Exported models with random weights and real graphs, written as the export writes them, without torch.

Weights, biases and normalisations are random and large, so that a term which a graph forgets shows far beyond
rounding; the tokenizer is the catalogue model's, so that they read real text.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from rerank_ops.export.graph.architecture import AnyBody
from rerank_ops.export.graph.bodies.body import Body, Dense, Embeddings, Floats, Layer, Norm, Step
from rerank_ops.export.graph.build import TAIL_FILE, arithmetic_of, build_graphs, graph_file
from rerank_ops.export.graph.draft import OPSET
from rerank_ops.export.graph.functions.stored_calls import kernel_calls
from rerank_ops.export.graph.store import save_graphs
from rerank_shared.contract.digest import file_digest
from rerank_shared.models.catalogue import load_files
from rerank_shared.models.cpu import host_features
from rerank_shared.models.manifest import KernelCalls, Manifest, Origin, Quality, write_manifest
from rerank_shared.models.precision import LAYOUTS, PRECISION, LayoutName, PrecisionName
from rerank_shared.settings import Settings
from rerank_worker.tokenizing import EncodedPair, PairTokenizer

HIDDEN, LAYERS, HEADS = 32, 3, 4
#: The narrowest that kernels take: two heads of 32.
KERNEL_HIDDEN = 64
MAX_LENGTH = 512
VOCABULARY = 30_522
QUERY = "how many people live in berlin, and where do they swim?"
SENTENCE = "Berlin has about four million people who swim in its lakes, and a museum for every one of its old trades"
_LARGE = 0.3
#: A channel that is far larger than all others, as real models have them, so that int8 has something to smooth.
_SPIKE = 7


@cache
def tokenizer() -> PairTokenizer:
    """Return the tokenizer of the catalogue's model."""
    return PairTokenizer(load_files(Settings().model).tokenizer_path)


def pairs_of(lengths: Sequence[int], query: str = QUERY) -> list[EncodedPair]:
    """Return a pair of real text for each length in tokens; no two documents begin alike."""
    words = SENTENCE.split()
    texts = [" ".join((words * (1 + n // len(words)))[i % len(words) :][:n]) for i, n in enumerate(lengths)]
    return [tokenizer().encode(query, [text], n)[0] for text, n in zip(texts, lengths, strict=True)]


def random_body(seed: int = 0, hidden: int = HIDDEN) -> Body:
    """Return a small BERT: random weights, a pooler and a classifier as its head."""
    random = np.random.default_rng(seed)

    def normal(*shape: int) -> Floats:
        return (random.standard_normal(shape) * _LARGE).astype(np.float32)

    def dense(name: str, inputs: int, outputs: int) -> Dense:
        return Dense(name, normal(inputs, outputs), normal(outputs))

    def norm(name: str) -> Norm:
        return Norm(name, normal(hidden) + 1, normal(hidden), 1e-12)

    def spiked(name: str, inputs: int, outputs: int) -> Dense:
        made = dense(name, inputs, outputs)
        made.bias[_SPIKE] += 10
        return made

    def layer(index: int) -> Layer:
        return Layer(
            qkv=dense(f"{index}.qkv", hidden, 3 * hidden),
            attention_out=dense(f"{index}.attention_out", hidden, hidden),
            attention_norm=norm(f"{index}.attention_norm"),
            up=spiked(f"{index}.up", hidden, 2 * hidden),
            down=dense(f"{index}.down", 2 * hidden, hidden),
            output_norm=norm(f"{index}.output_norm"),
        )

    embeddings = Embeddings(normal(VOCABULARY, hidden), normal(MAX_LENGTH, hidden), normal(2, hidden), norm("n"), None)
    head = (Step(dense("pooler", hidden, hidden), "tanh"), Step(dense("classifier", hidden, 1), "none"))
    return Body(embeddings, tuple(layer(index) for index in range(LAYERS)), heads_of(hidden), "gelu", head)


def heads_of(hidden: int) -> int:
    """Return the attention heads of a hidden state so wide."""
    return HEADS if hidden == HIDDEN else hidden // 32


def write_export(
    directory: Path,
    precision: PrecisionName = "fp32",
    layouts: Sequence[LayoutName] = LAYOUTS,
    seed: int = 0,
    *,
    hidden: int = HIDDEN,
    kernels: Sequence[str] = (),
    reduced_range: bool | None = None,
    body: AnyBody | None = None,
    **changes: Any,
) -> Path:
    """Write an exported model that passed its gate, and return its directory.

    `reduced_range`: int8 weights of 7 bits or of 8; None: as this kind of CPU needs.
    Kernels take the layers of one that is KERNEL_HIDDEN wide; `kernels` are the names of those that passed its gate.
    `body` in place of random weights; `changes` are fields of its manifest.
    """
    directory.mkdir(parents=True)
    shutil.copy(load_files(Settings().model).tokenizer_path, directory / "tokenizer.json")
    config = {"model_type": "bert", "max_position_embeddings": MAX_LENGTH}
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    calibration = [(pair.ids, pair.type_ids) for pair in pairs_of(range(16, 200, 12))]
    body = body or random_body(seed, hidden)
    if reduced_range is None:
        reduced_range = host_features().saturates
    arithmetic = arithmetic_of(precision, body, calibration, weight_bits=7 if reduced_range else 8)
    save_graphs(directory, build_graphs(body, arithmetic, layouts))
    manifest = _manifest(directory, precision, layouts, seed, reduced_range, kernels).model_copy(update=changes)
    write_manifest(directory, manifest)
    return directory


def _manifest(
    directory: Path,
    precision: PrecisionName,
    layouts: Sequence[LayoutName],
    seed: int,
    reduced_range: bool,
    kernels: Sequence[str],
) -> Manifest:
    return Manifest(
        model=f"tests/random-{seed}",
        source=Origin(kind="directory", name="random", digest="0" * 64),
        family="bert",
        surgery=True,
        precision=precision,
        reduced_range=reduced_range,
        opset=OPSET,
        versions={},
        max_length=MAX_LENGTH,
        template=str(tokenizer().template),
        activation="identity",
        layouts={layout: graph_file(layout) for layout in layouts},
        tail=TAIL_FILE,
        files={path.name: file_digest(str(path)) for path in sorted(directory.iterdir())},
        quality=_passed(precision, layouts),
        kernels=_calls(directory / graph_file(layouts[0]), layouts, kernels),
    )


def _calls(graph: Path, layouts: Sequence[LayoutName], kernels: Sequence[str]) -> KernelCalls | None:
    calls = kernel_calls(graph)
    measured = {name: _passed("int8-row", layouts) for name in kernels}
    return calls.model_copy(update={"quality": measured}) if calls else None


def _passed(precision: PrecisionName, layouts: Sequence[LayoutName]) -> Quality:
    invariance = {layout: layout in PRECISION[precision].invariant_layouts for layout in layouts}
    return Quality(pairs=320, spearman=0.999, rmse=0.01, max_difference=0.05, invariance=invariance)
