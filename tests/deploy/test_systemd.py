"""The systemd units: systemd reads them, they are tight, and they wait for a drain."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rerank_ops.cli.app import app
from rerank_producer.gateway.settings import load_gateway_settings
from rerank_shared.settings import load_settings
from support.commands import COMMAND

SYSTEMD = Path(__file__).parents[2] / "ops/deploy/systemd"
UNITS = sorted(path.name for path in SYSTEMD.glob("*.service"))
#: Of 10, where 0 is the tightest.
MOST_EXPOSED = 2.0
needs_analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on the PATH")


def service(unit: str) -> dict[str, str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(SYSTEMD / unit, encoding="utf-8")
    return dict(parser["Service"])


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


@needs_analyze
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_no_fault(unit: str, tmp_path: Path) -> None:
    """The program that a unit starts must be there, so the copy that is looked at names this checkout's."""
    text = (SYSTEMD / unit).read_text(encoding="utf-8").replace("/opt/rerank-fleet/bin/rerank-fleet", COMMAND)
    (tmp_path / unit).write_text(text, encoding="utf-8")
    done = analyze("verify", "--man=no", "--recursive-errors=no", str(tmp_path / unit))
    assert (done.returncode, done.stderr) == (0, "")


@needs_analyze
@pytest.mark.parametrize("unit", UNITS)
def test_a_service_is_little_exposed(unit: str) -> None:
    done = analyze("security", "--offline=true", f"--threshold={round(MOST_EXPOSED * 10)}", str(SYSTEMD / unit))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("unit", UNITS)
def test_it_runs_a_command_that_is_there(unit: str) -> None:
    program, command = service(unit)["ExecStart"].split()
    assert Path(program).name == Path(COMMAND).name
    assert command in {each.name or each.callback.__name__ for each in app.registered_commands if each.callback}


def test_systemd_waits_longer_than_a_drain_and_then_kills_all() -> None:
    gateway = load_gateway_settings()
    needs = {"worker": load_settings().grace_s, "gateway": gateway.drain_s + gateway.grace_s}
    assert [f"rerank-fleet-{part}.service" for part in sorted(needs)] == UNITS
    for part, needed in needs.items():
        unit = service(f"rerank-fleet-{part}.service")
        assert float(unit["TimeoutStopSec"]) > needed
        # The supervisor gets the signal alone: a process that gets it twice ends without a drain.
        assert unit["KillMode"] == "mixed"


def test_a_worker_that_refuses_to_start_is_not_started_again() -> None:
    assert service("rerank-fleet-worker.service")["RestartPreventExitStatus"] == "78"


def test_the_example_is_a_valid_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (SYSTEMD / "fleet.env.example").read_text(encoding="utf-8")
    pairs = re.findall(r"^#?(RERANK_\w+)=(.*)$", text, re.MULTILINE)
    assert len(pairs) >= 3
    for name, value in pairs:
        monkeypatch.setenv(name, value)
    load_settings()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel is not Linux")
def test_the_model_runs_where_no_memory_may_be_written_and_executed() -> None:
    """MemoryDenyWriteExecute= is tried by the kernel's own switch of that meaning (Linux 6.3)."""
    program = (
        "import ctypes, sys\n"
        "if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0): sys.exit(77)\n"
        "from rerank_shared.settings import load_settings\n"
        "from rerank_worker.loading import load\n"
        "load(load_settings())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("the kernel has no PR_SET_MDWE")
    assert done.returncode == 0, done.stderr
