"""docs/clients.md: each of its blocks runs as it stands, and names the versions that are tested."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from support.http.clients import CLIENTS, DOCUMENTS, QUERY, Served

pytestmark = [
    *CLIENTS,
    # Of clients that a short example does not close, and that some can't.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning"),
]

PAGE = (Path(__file__).parents[2] / "docs" / "clients.md").read_text()
SECTIONS = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)
#: What the blocks of a section import.
PACKAGES = {
    "Cohere": ["cohere"],
    "Voyage": ["voyageai"],
    "LiteLLM": ["litellm"],
    "LangChain": ["langchain_cohere"],
    "LlamaIndex": [f"llama_index.postprocessor.{name}_rerank" for name in ("cohere", "jinaai", "tei")],
    "rerankers": ["rerankers"],
    "Xinference": ["xinference_client"],
    "DashScope": ["dashscope"],
    "NVIDIA": ["haystack_integrations.components.rankers.nvidia", "langchain_nvidia_ai_endpoints"],
    "Together": ["together"],
    "LightRAG": ["lightrag"],
    "Hugging Face": ["huggingface_hub"],
    "First-stage scores": ["cohere"],
}


def blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def test_every_block_belongs_to_a_client() -> None:
    assert [title for title, text in SECTIONS if blocks(text)] == list(PACKAGES)


@pytest.mark.parametrize(("title", "text"), [section for section in SECTIONS if blocks(section[1])])
def test_blocks_find_the_best_document(served: Served, title: str, text: str) -> None:
    for package in PACKAGES[title]:
        pytest.importorskip(package, reason=f"needs {package}: `make test-clients`")
    # The block at the top of the page says what these are.
    given: dict[str, Any] = {"url": served.url, "key": served.keys.plain, "query": QUERY, "documents": DOCUMENTS}
    for number, block in enumerate(blocks(text)):
        given.pop("best", None)
        exec(compile(block, f"docs/clients.md {title} {number}", "exec"), given)
        assert given["best"] == served.ranked(1)[0][0]


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-cohere.txt"])
def test_table_has_the_versions_that_are_installed(file: str) -> None:
    text = Path(__file__).with_name(file).read_text()
    found = re.findall(r"^([a-z-]+)(?:\[\w+\])?>=(\d+\.\d+),<", text, flags=re.MULTILINE)
    assert len(found) == len([line for line in text.splitlines() if not line.startswith(("#", "llama-index-core"))])
    for name, version in found:
        cells = [
            row.split(" | ")[1] for row in PAGE.splitlines() if row.startswith("|") and _short(name) in row.lower()
        ]
        assert any(version in cell.split(", ") for cell in cells), f"{name} {version}"


def _short(name: str) -> str:
    """LlamaIndex's packages have names that their users never see."""
    words = {"cohere-rerank": "llamaindex](", "jinaai-rerank": "jinarerank", "tei-rerank": "textembeddinginference"}
    return next((word for end, word in words.items() if name.endswith(end)), name)
