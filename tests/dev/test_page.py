"""The part of a page that tells an exported model's quality."""

from __future__ import annotations

from pathlib import Path

from rerank_dev.docs.quality_page import main, render
from rerank_shared.models.manifest import CollectionQuality, KernelCalls, Manifest, Origin, Quality, write_manifest

FOUND = CollectionQuality(
    name="cacm", queries=52, ndcg_10=0.45, ndcg_10_fp32=0.451, mrr_10=0.6, mrr_10_fp32=0.61, spearman=0.9991
)
MANIFEST = Manifest(
    model="org/name", source=Origin(kind="onnx", name="org/name", digest="0" * 64), family="bert", surgery=True,
    precision="int8", opset=20, versions={"onnxruntime": "1.31.1"}, max_length=512, template="t", activation="sigmoid",
    layouts={"unpadded": "unpadded.onnx"}, files={},
    quality=Quality(
        pairs=320, spearman=0.9996, rmse=0.11, max_difference=0.5, invariance={"unpadded": True, "packed": False},
        collections=(FOUND,),
    ),
)  # fmt: skip


KERNEL = Quality(
    pairs=320, spearman=0.9998, rmse=0.09, max_difference=0.4, invariance={"unpadded": True, "packed": True},
    collections=(FOUND.model_copy(update={"ndcg_10": 0.456, "spearman": 0.9994}),),
)  # fmt: skip


def test_figures_come_from_the_manifest(tmp_path: Path) -> None:
    write_manifest(tmp_path, MANIFEST)
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- engine-quality -->\nold\n<!-- /engine-quality -->\nafter\n")
    main([str(page), str(tmp_path)])
    text = page.read_text()
    assert "| cacm | 52 | nDCG@10 |  | 0.4510 | 0.4500 (-0.0010) |" in text
    assert "| cacm | 52 | MRR@10 |  | 0.6100 | 0.6000 (-0.0100) |" in text
    assert "| int8 | 0.9996 | 0.110 | 0.500 | unpadded |" in text
    assert text.startswith("before\n")
    assert "old" not in text


def test_kernels_stand_beside_the_operators_and_a_bound_that_was_missed_is_said() -> None:
    calls = KernelCalls(file="weights.bin", weights={}, quality={"int8-row-avx512-1": KERNEL})
    text = render(MANIFEST.model_copy(update={"kernels": calls}))
    assert "| collection | queries | figure | BM25 | fp32 | int8 | int8-row-avx512-1 |" in text
    assert "| cacm | 52 | nDCG@10 |  | 0.4510 | 0.4500 (-0.0010) | 0.4560 (+0.0050) |" in text
    assert "| cacm | 52 | Spearman of scores |  | 1 | 0.9991 | 0.9994 |" in text
    assert "| int8-row-avx512-1 | 0.9998 | 0.090 | 0.400 | unpadded, packed |" in text
    assert "int8 0.0010 (met), int8-row-avx512-1 0.0050 (**missed**)." in text
    assert "without a kernel, 0.110: int8-row-avx512-1 0.090 (met)." in text


def test_what_was_not_measured_is_said() -> None:
    assert "was not measured" in render(MANIFEST.model_copy(update={"quality": None}))
