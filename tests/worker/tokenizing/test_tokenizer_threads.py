"""Who owns the cores: a worker's tokenizer starts no threads, and no code of ours decides that for its caller."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rerank_shared.settings import load_settings
from rerank_worker.supervisor.child import Launch

SCRIPT = """
import os
from rerank_shared.models.catalogue import load_files
from rerank_shared.settings import Settings
from rerank_worker.tokenizing import PairTokenizer
before, environ = len(os.listdir("/proc/self/task")), dict(os.environ)
tokenizer = PairTokenizer(load_files(Settings().model).tokenizer_path, 1_000_000)
tokenizer.encode("how many", ["text " * n for n in range(200)], 64)
assert dict(os.environ) == environ
print(len(os.listdir("/proc/self/task")) - before)
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")


def threads_started(environ: dict[str, str]) -> int:
    run = subprocess.run([sys.executable, "-c", SCRIPT], env=environ, capture_output=True, text=True, check=True)
    return int(run.stdout)


def test_a_worker_s_tokenizer_stays_on_its_thread() -> None:
    """The cores belong to the other workers, and tokenizing in parallel takes a quarter more of them."""
    launch = Launch(load_settings(), (), 7)
    base = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    environ = launch.environ(base)
    assert threads_started(environ) == 0
    # What would be counted if the environment did not say so.
    assert threads_started(environ | {"TOKENIZERS_PARALLELISM": "true"}) > 0
