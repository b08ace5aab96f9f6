"""One running fleet a test module, and an environment that is nobody's."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from rerank_shared.settings import bare_environ
from support.commands import BIN, CommandLine, Spawn


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """The caller's environment without settings of ours, and with a namespace of this module's own."""
    return bare_environ() | {
        "RERANK_NAMESPACE": f"cli-{uuid.uuid4().hex[:12]}",
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "100",
    }


@pytest.fixture(scope="module")
def spawn(environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spawn]:
    """Start commands in the background; what still runs at the end of the module is ended."""
    spawner = Spawn(environ, tmp_path_factory.mktemp("logs"), [])
    yield spawner
    for running in spawner.started:
        if running.process.poll() is None:
            running.end()


@pytest.fixture(scope="module")
def fleet(spawn: Spawn, environ: dict[str, str]) -> CommandLine:
    """A fleet that `rerank-fleet up` runs, and a command line that knows where it is."""
    output = spawn("rerank-fleet", "up", "--processes", "1").wait_for("worker ready")
    url = output.partition("export RERANK_REDIS_URL=")[2].split()[0]
    return CommandLine(environ | {"RERANK_REDIS_URL": url})


@pytest.fixture
def command_line(environ: dict[str, str]) -> CommandLine:
    """The command without any server."""
    return CommandLine(environ)
