"""The part of a page that tells an exported model's quality."""

from __future__ import annotations

from pathlib import Path

from rerank_dev.docs.quality_page import main, render
from rerank_shared.models.manifest import CollectionQuality, Manifest, Origin, Quality, write_manifest

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


def test_figures_come_from_the_manifest(tmp_path: Path) -> None:
    write_manifest(tmp_path, MANIFEST)
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- engine-quality -->\nold\n<!-- /engine-quality -->\nafter\n")
    main([str(page), str(tmp_path)])
    text = page.read_text()
    assert "| cacm | 52 | 0.4500 | 0.4510 | -0.0010 | 0.6000 | 0.6100 | 0.9991 |" in text
    assert "Spearman 0.9996" in text
    assert "company: layout unpadded." in text
    assert text.startswith("before\n")
    assert "old" not in text


def test_what_was_not_measured_is_said() -> None:
    assert "was not measured" in render(MANIFEST.model_copy(update={"quality": None}))
