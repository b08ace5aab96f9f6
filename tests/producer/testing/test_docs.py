"""The examples of docs/testing.md and of the README's section, run as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rerank_producer.testing import InMemoryFleet
from rerank_shared.settings import bare_environ

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
SECTION = (
    (ROOT / "README.md").read_text(encoding="utf-8").partition("## Testing code that reranks")[2].partition("\n## ")[0]
)
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def test_the_page_is_a_file_of_tests_that_pass(tmp_path: Path) -> None:
    blocks = BLOCK.findall(PAGE)
    (tmp_path / "test_page.py").write_text("\n".join(blocks), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "test_page.py"]
    environ = bare_environ() | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    run = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{sum(block.count('def test_') for block in blocks)} passed" in run.stdout


def test_the_readme_s_example_runs() -> None:
    (block,) = BLOCK.findall(SECTION)
    exec(compile(block, "README.md", "exec"), {})


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`?fleet\.(\w+)", PAGE))))
def test_what_the_page_names_is_there(name: str) -> None:
    assert hasattr(InMemoryFleet, name)
