"""What is made of pip-audit's report, and of none: above all that silence is not taken for safety."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rerank_dev import audit
from rerank_dev.audit import main, verdict

CLEAN = {"name": "redis", "version": "8.1.0", "vulns": []}
UNTOLD = {"name": "celery", "skip_reason": "Dependency not found on PyPI"}
OWN = {"name": "rerank-fleet", "skip_reason": "Dependency not found on PyPI"}
BAD = {"name": "h11", "version": "0.14.0", "vulns": [{"id": "GHSA-vqfr-h8mv-ghfj", "fix_versions": ["0.16.0"]}]}
PlayPipAudit = Callable[[str], None]


@pytest.fixture
def play_pip_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlayPipAudit:
    """Put a program of that name in its place, which ends in the way to be told."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def play(code: str) -> None:
        (tmp_path / "pip_audit.py").write_text(f"import sys\n{code}\n")

    return play


def test_a_vulnerability_fails_and_is_named() -> None:
    status, told = verdict([CLEAN, BAD, UNTOLD])
    assert status == 1
    assert "h11 0.14.0: GHSA-vqfr-h8mv-ghfj" in told


def test_a_clean_report_says_how_much_it_covers() -> None:
    assert verdict([CLEAN, OWN]) == (0, "1 packages, no known vulnerability")
    assert verdict([CLEAN, UNTOLD, OWN])[1].endswith("nothing is known of celery")


def test_nothing_told_is_skipped_and_not_clean() -> None:
    for report in ([], [UNTOLD, OWN]):
        status, told = verdict(report)
        assert status == 0
        assert "skipped" in told


def test_advisories_that_can_not_be_reached_are_skipped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # pip-audit itself, behind a proxy that refuses.
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert main() == 0
    assert "skipped, its advisories can't be reached from here: requests.exceptions.Pro" in capsys.readouterr().out


@pytest.mark.parametrize(
    "code",
    [
        "sys.exit('ERROR:pip_audit._cli:Tip: your network may be blocking this service.')",
        "print('requests.exceptions.HTTPError: 503', file=sys.stderr)\nsys.exit('pip_audit._service.ServiceError')",
    ],
)
def test_other_words_for_the_network_are_skipped_too(
    code: str, play_pip_audit: PlayPipAudit, capsys: pytest.CaptureFixture[str]
) -> None:
    play_pip_audit(code)
    assert main() == 0
    assert "skipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import cachecontroll", "ModuleNotFoundError: No module named 'cachecontroll'"),
        ("raise ValueError('connection')", "broken, nothing was audited: ValueError: connection"),
        ("sys.exit(2)", "not a word, exit status 2"),
        ("print('[]')", "broken"),
        ("print('{}')", "broken"),
        ("print('null')", "broken"),
    ],
)
def test_what_ends_without_a_report_for_another_reason_fails(
    code: str, told: str, play_pip_audit: PlayPipAudit, capsys: pytest.CaptureFixture[str]
) -> None:
    play_pip_audit(code)
    assert main() == 1
    assert told in capsys.readouterr().out


def test_one_that_is_not_installed_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    assert main() == 1
    assert "No module named pip_audit" in capsys.readouterr().out


def test_one_that_found_something_fails_by_its_report(
    play_pip_audit: PlayPipAudit, capsys: pytest.CaptureFixture[str]
) -> None:
    play_pip_audit(f"print({json.dumps({'dependencies': [BAD]})!r})\nsys.exit(1)")
    assert main() == 1
    assert "known vulnerabilities: h11 0.14.0" in capsys.readouterr().out


def test_one_that_does_not_end_is_skipped(
    play_pip_audit: PlayPipAudit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    play_pip_audit("import signal\nsignal.pause()")
    monkeypatch.setattr(audit, "_TIMEOUT_S", 0.2)
    assert main() == 0
    assert "skipped, its advisories did not come within 0.2 s" in capsys.readouterr().out
