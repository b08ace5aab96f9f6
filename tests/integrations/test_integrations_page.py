"""The examples of docs/integrations.md, run as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from rerank_shared.settings import to_environ
from support.fleet import TestFleet

pytestmark = [pytest.mark.integration, pytest.mark.clients]

PAGE = Path(__file__).parents[2] / "docs" / "integrations.md"
EXAMPLE = re.compile(r"^## ([^\n]+)\n(?:(?!^## ).)*?```python\n(.*?)```\n```text\n(.*?)```", re.MULTILINE | re.DOTALL)
EXAMPLES = EXAMPLE.findall(PAGE.read_text(encoding="utf-8"))
NEEDS = {
    "LangChain": "langchain_core",
    "LlamaIndex": "llama_index",
    "Haystack": "haystack",
    "First-stage scores": "llama_index",
}


def test_every_framework_has_its_example() -> None:
    assert [title for title, _, _ in EXAMPLES] == ["Several first stages", *NEEDS]


@pytest.mark.parametrize(("title", "code", "output"), EXAMPLES, ids=[title for title, _, _ in EXAMPLES])
def test_an_example_prints_what_it_says(fleet: TestFleet, title: str, code: str, output: str) -> None:
    if title in NEEDS and find_spec(NEEDS[title]) is None:
        pytest.skip(f"{title} is not installed here: `make test-clients`")
    environ = to_environ(fleet.settings) | {"HAYSTACK_TELEMETRY_ENABLED": "False", "HOME": "/nonexistent"}
    run = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert (run.stdout, run.returncode) == (output, 0), run.stderr
