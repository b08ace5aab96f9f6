"""The programs of examples/, run as their users run them, and held against what they say that they print."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from rerank_shared.settings import Settings, bare_environ, to_environ
from support.commands import BIN, Running, Spawn

FOLDER = Path(__file__).parents[2] / "examples"
#: Far above what the slowest of them needs on a busy machine; each bounds its own waits.
BOUND_S = 110
PYTHON = Path(sys.executable).name
_PRINTS = re.compile(r"^    # Prints:\n((?:    # .*\n)+)", re.MULTILINE)


def names(folder: str = "") -> set[str]:
    """Return the names of the programs of a folder of examples/, without their `.py`."""
    return {path.stem for path in (FOLDER / folder).glob("*.py")}


def told(program: str) -> list[str]:
    """Return the lines that a program says it prints; `...` stands for anything, alone for any number of lines."""
    (block,) = _PRINTS.findall((FOLDER / f"{program}.py").read_text(encoding="utf-8"))
    return [line.removeprefix("    # ") for line in block.splitlines()]


def _pattern(line: str) -> str:
    return r"(?:.*\n)*" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"\n"


@dataclass(frozen=True, slots=True)
class Example:
    """A program that runs."""

    program: str
    running: Running

    def wait_for(self, text: str) -> str:
        """Wait until it has printed `text`; returns all that it has printed."""
        return self.running.wait_for(text)

    def ends_well(self) -> str:
        """Wait for its end; fails unless it has printed what it says, and nothing else. Returns what it printed."""
        status = self.running.process.wait(timeout=BOUND_S)
        output = self.running.log.read_text()
        assert status == 0, output
        assert re.fullmatch("".join(map(_pattern, told(self.program))), output), output
        return output


@dataclass(frozen=True, slots=True)
class Examples:
    """Starts programs."""

    spawn: Spawn

    def start(self, program: str, settings: Settings, *arguments: str) -> Example:
        """Start a program on the fleet of `settings`; it may need somebody to make its fault happen."""
        command = [PYTHON, str(FOLDER / f"{program}.py"), *arguments]
        return Example(program, self.spawn(*command, cwd=None, **to_environ(settings)))

    def run(self, program: str, settings: Settings, *arguments: str) -> str:
        """Run a program to its end; returns what it printed."""
        return self.start(program, settings, *arguments).ends_well()


def make_examples(directory: Path) -> Examples:
    """Return what starts programs, with their logs in `directory`."""
    environ = bare_environ() | {"PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin"}
    # As the docs' own examples: no framework may report to its makers from a test.
    environ |= {"HAYSTACK_TELEMETRY_ENABLED": "False", "LANGSMITH_TRACING": "false"}
    return Examples(Spawn(environ, directory, []))


def skip_without(module: str) -> None:
    """Skip a test whose framework isn't installed."""
    pytest.importorskip(module, reason="not installed here: `make test-clients`")
