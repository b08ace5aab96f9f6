"""Vectors: made of the text alone, kept on the disk by it, and made once, whatever ends a run."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

from rerank_ops.dense.embedder import Embedder
from rerank_ops.dense.embedder_files import directory_files
from rerank_ops.dense.embedding import embedded, store_of
from rerank_ops.dense.pooling import of_length_one, pooled
from rerank_ops.dense.retrieval import retrieved
from rerank_ops.dense.vector_store import VectorStore
from rerank_shared.errors import ModelDamaged
from support.model.tiny_embedder import CLS, WIDTH, write_tiny_embedder
from support.model.tiny_graphs import write_tiny_model

TEXTS = {f"d{number}": f"text number {number} about " + "water " * (number % 7) for number in range(150)}


def quiet(done: int, total: int) -> None:
    """Hear nothing."""


def embedder(directory: Path, **how: object) -> Embedder:
    return Embedder(directory_files(write_tiny_embedder(directory, **how)))  # type: ignore[arg-type]


def test_states_are_pooled_and_scaled() -> None:
    states = np.array([[3.0, 4.0], [1.0, 0.0]], dtype=np.float32)
    assert pooled(states, "cls").tolist() == [3.0, 4.0]
    assert pooled(states, "mean").tolist() == [2.0, 2.0]
    assert of_length_one(states[0]).tolist() == pytest.approx([0.6, 0.8])
    assert of_length_one(np.zeros(2, dtype=np.float32)).tolist() == [0.0, 0.0]


def test_pooling_in_the_graph_and_here_give_the_same(tmp_path: Path) -> None:
    ours, graph = embedder(tmp_path / "ours"), embedder(tmp_path / "graph", pooled=True)
    assert np.allclose(ours.vector("a text"), graph.vector("a text"), atol=1e-6)
    cls = embedder(tmp_path / "cls", pooling=CLS)
    # Of this graph, the state of the first token is the same for every text.
    assert (cls.vector("a text") == cls.vector("another")).all()


def test_a_text_is_cut_and_any_text_has_a_vector(tmp_path: Path) -> None:
    tiny = embedder(tmp_path / "tiny")
    long = "potato " * 300
    assert (tiny.vector(long) == tiny.vector(long + "water " * 300_000)).all()
    for odd in ("", "\0", "\ud800".encode("utf-8", "replace").decode(), "水" * 5_000):
        assert np.isfinite(tiny.vector(odd)).all()


def test_a_broken_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelDamaged, match="gives no numbers"):
        embedder(tmp_path / "nan", nan=True)
    with pytest.raises(ModelDamaged, match="can't run"):
        embedder(tmp_path / "short", rows=20_000).vector("zebra")
    (tmp_path / "reranker").mkdir()
    write_tiny_model(tmp_path / "reranker")
    with pytest.raises(ModelDamaged, match="no embedder"):
        embedder_of_reranker(tmp_path)


def embedder_of_reranker(folder: Path) -> Embedder:
    (write_tiny_embedder(folder / "files") / "1_Pooling").rename(folder / "reranker" / "1_Pooling")
    return Embedder(directory_files(folder / "reranker"))


def test_texts_are_embedded_once_and_kept(tmp_path: Path) -> None:
    tiny, told = embedder(tmp_path / "tiny"), list[tuple[int, int]]()
    texts = list(TEXTS.values())
    rows = embedded(tiny, store_of(tiny, tmp_path), texts, lambda *work: told.append(work))
    kept = store_of(tiny, tmp_path)
    assert len(kept.vectors()) == len(set(texts))
    for text, row in zip(texts, rows, strict=True):
        assert (kept.vectors()[row] == tiny.vector(text)).all()
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]
    assert embedded(tiny, kept, texts, lambda *_: pytest.fail("embedded again")).tolist() == rows.tolist()


def test_a_run_that_ended_goes_on(tmp_path: Path) -> None:
    """What a kill in the middle of a write left behind is cut off."""
    tiny = embedder(tmp_path / "tiny")
    store = store_of(tiny, tmp_path)

    def stop(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embedded(tiny, store, list(TEXTS.values()), stop)
    kept = len(store.vectors())
    assert 0 < kept < len(TEXTS)
    for name, torn in (("vectors.f32", b"x" * (WIDTH * 4 * 3 + 1)), ("digests.bin", b"x" * 17)):
        with (store.directory / name).open("ab") as file:
            file.write(torn[: 17 if name == "digests.bin" else None])
    (store.directory / "digests.bin").write_bytes((store.directory / "digests.bin").read_bytes()[: kept * 16 + 9])
    rows = embedded(tiny, store_of(tiny, tmp_path), list(TEXTS.values()), quiet)
    assert len(store.vectors()) == len(set(TEXTS.values()))
    for text, row in zip(TEXTS.values(), rows, strict=True):
        assert (store.vectors()[row] == tiny.vector(text)).all()


def test_two_processes_may_append_at_the_same_time(tmp_path: Path) -> None:
    one, two = VectorStore(tmp_path, 2), VectorStore(tmp_path, 2)
    digests = [bytes([place]) * 16 for place in range(3)]
    one.append(digests[:2], np.array([[1, 1], [2, 2]], dtype=np.float32))
    two.append(digests[1:], np.array([[9, 9], [3, 3]], dtype=np.float32))
    assert one.vectors()[one.rows_of([*digests, b"?" * 16])[:3]].tolist() == [[1, 1], [2, 2], [3, 3]]
    assert one.rows_of([b"?" * 16]).tolist() == [-1]


def test_a_full_disk_is_told_with_the_file_and_costs_one_part(tmp_path: Path) -> None:
    tiny = embedder(tmp_path / "tiny")
    store, texts = store_of(tiny, tmp_path), list(TEXTS.values())
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100 * WIDTH * 4, limit[1]))
    try:
        with pytest.raises(OSError, match=r"vectors\.f32"):
            embedded(tiny, store, texts, quiet)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert len(store.vectors()) == 64
    rows = embedded(tiny, store, texts, quiet)
    assert (store.vectors()[rows[-1]] == tiny.vector(texts[-1])).all()


def test_documents_without_text_are_never_found(tmp_path: Path) -> None:
    files = directory_files(write_tiny_embedder(tmp_path / "tiny"))
    texts = {"empty": " \n", "one": "water", "two": "boil a potato"}
    found = retrieved(files, texts, {"q": "a potato to boil", "w": "water"}, 5, cache=tmp_path)
    assert [[name for name, _ in found[query]] for query in ("q", "w")] == [["two", "one"], ["one", "two"]]
    assert found["w"][0][1] == pytest.approx(1.0)
    assert retrieved(files, {"empty": ""}, {"q": "water"}, 5, cache=tmp_path) == {"q": ()}
