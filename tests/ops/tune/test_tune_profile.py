"""A profile from the file that `tune` writes to the settings of a process, and how it is told of."""

from __future__ import annotations

import json
import logging
import resource
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rerank_ops.cli.app import app
from rerank_ops.effective import effective_settings
from rerank_ops.tune.policy import Choice
from rerank_ops.tune.profile_file import profile_text, write_profile
from rerank_shared.errors import ConfigurationError
from rerank_shared.models.catalogue import configured_files
from rerank_shared.models.cpu import cpu_name
from rerank_shared.profile import Profile, differences
from rerank_shared.settings import Settings, load_settings, profile_of, to_environ
from rerank_worker import process

CHOICE = Choice(
    values={"layout": "padded", "run_pairs": 9, "budget_tokens": 4096, "max_wait_ms": 2.5, "threads": 2, "pin": False},
    reasons={"layout": "because\nit is", "run_pairs": '"quoted"'},
    notes=("busy",),
)
MADE_FOR: dict[str, Any] = {
    "made_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "host": 'ho"st\\ \x7f\n[é]',
    "cpu": "A CPU",
    "model_digest": "ab" * 32,
    "mean_tokens": 96.5,
    "versions": {"python": "3.11.7", "a.b c": "1"},
}


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "profiles" / "here.toml"
    write_profile(path, CHOICE, MADE_FOR)
    monkeypatch.setenv("RERANK_PROFILE", str(path))
    return path


def test_a_disk_without_room_leaves_the_profile_of_before(tmp_path: Path) -> None:
    path = tmp_path / "profile.toml"
    path.write_text("before", encoding="utf-8")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Fails as a full disk does, in the middle of a write.
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limit[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write_profile(path, CHOICE, MADE_FOR)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("profile.toml", "before")]


def test_what_is_written_is_what_is_read(profile: Path) -> None:
    settings = load_settings()
    for name, value in CHOICE.values.items():
        assert getattr(settings, name) == value
    read = profile_of(settings)
    assert read == Profile(profile, CHOICE.values, {"made_by": "rerank-fleet tune"} | MADE_FOR)
    assert read.made_by == "rerank-fleet tune"


def test_a_profile_says_why_and_what_to_beware_of() -> None:
    text = profile_text(CHOICE, MADE_FOR)
    assert "# because it is\nlayout = " in text
    assert "# Beware: busy." in text
    assert tomllib.loads(text)["made_for"] == {"made_by": "rerank-fleet tune"} | MADE_FOR


def test_variables_and_arguments_come_before_a_profile(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANK_RUN_PAIRS", "3")
    settings = load_settings(threads=1)
    assert (settings.layout, settings.run_pairs, settings.threads) == ("padded", 3, 1)
    monkeypatch.delenv("RERANK_PROFILE")
    assert load_settings().layout == Settings.model_fields["layout"].default
    assert load_settings(profile=profile).layout == "padded"


def test_a_child_process_gets_what_the_parent_had(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(threads=1)
    for variable, value in to_environ(settings).items():
        monkeypatch.setenv(variable, value)
    assert load_settings() == settings


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("run_pair = 4", "run_pair: is no setting; did you mean run_pairs?"),
        ("qqqqq = 4", "qqqqq: is no setting"),
        ("run_pairs = 0", "run_pairs: Input should be greater than or equal to 1"),
        ('layout = "both"', "layout: Input should be 'unpadded'"),
        ('redis_url = "redis://:secret@db"', "redis_url: does not belong in a profile; set RERANK_REDIS_URL"),
        ('profile = "other.toml"', "profile: does not belong"),
        ("[made_fore]", "made_fore: is no setting"),
        ("made_for = 1", "made_for: a table expected"),
        ("layout = ", "is not TOML"),
    ],
)
def test_a_wrong_profile_is_refused_with_file_and_key(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(profile=path)
    assert f"RERANK_PROFILE: {path}" in caught.value.message
    assert told in caught.value.message
    assert "secret" not in caught.value.message


def test_a_profile_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none.toml", "can't be read"), (tmp_path, "can't be read")):
        with pytest.raises(ConfigurationError, match=why):
            load_settings(profile=path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="is not TOML"):
        load_settings(profile=tmp_path / "binary.toml")


def test_settings_of_a_profile_are_shown_as_such(profile: Path) -> None:
    settings = load_settings(budget_tokens=8192)
    environ = {"RERANK_PROFILE": str(profile), "RERANK_RUN_PAIRS": "9"}
    origins = {shown.name: shown.origin for shown in effective_settings(settings, environ)}
    assert (origins["layout"], origins["pin"]) == ("profile", "profile")
    assert (origins["profile"], origins["run_pairs"]) == ("environment", "environment")
    assert (origins["budget_tokens"], origins["run_tokens"]) == ("argument", "default")


@pytest.mark.parametrize(
    ("digest", "cpu", "told"),
    [
        ("ab" * 32, "A CPU", []),
        (None, "A CPU", []),
        ("cd" * 32, "A CPU", ["p was made for another model: abababababab…, this is cdcdcdcdcdcd…"]),
        ("ab" * 32, "B CPU", ["p was made on another CPU: A CPU, this is B CPU"]),
    ],
)
def test_what_a_profile_was_made_for_is_compared(digest: str | None, cpu: str, told: list[str]) -> None:
    assert differences(Profile(Path("p"), {}, MADE_FOR), model_digest=digest, cpu=cpu) == told
    assert differences(Profile(Path("p"), {}, {}), model_digest=digest, cpu=cpu) == []


@pytest.mark.integration
def test_a_worker_and_the_doctor_warn_of_a_profile_of_something_else(
    profile: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        process.build(load_settings(redis_url="redis://127.0.0.1:1/0"), "worker", None)
    warnings = [record.getMessage() for record in caplog.records if "profile" in record.getMessage()]
    assert len(warnings) == 2
    assert "made for another model: abababababab…" in warnings[0]
    assert "made on another CPU: A CPU" in warnings[1]
    run = CliRunner().invoke(app, ["doctor", "--json", "--redis-url", "redis://127.0.0.1:1/0"])
    report = json.loads(run.stdout)
    found = [check for check in report["checks"] if check["name"] == "profile"]
    assert [check["status"] for check in found] == ["warn", "warn"]
    assert {"variable": "RERANK_LAYOUT", "name": "layout", "value": "padded", "origin": "profile"} in report["settings"]


@pytest.mark.integration
def test_a_profile_made_here_is_told_of_without_warning(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "here.toml"
    digest = configured_files(load_settings()).model_digest
    write_profile(path, CHOICE, MADE_FOR | {"cpu": cpu_name(), "model_digest": digest})
    monkeypatch.setenv("RERANK_PROFILE", str(path))
    with caplog.at_level(logging.WARNING):
        process.build(load_settings(redis_url="redis://127.0.0.1:1/0"), "worker", None)
    assert not [record for record in caplog.records if "profile" in record.getMessage()]
    run = CliRunner().invoke(app, ["doctor", "--json", "--redis-url", "redis://127.0.0.1:1/0"])
    found = [check for check in json.loads(run.stdout)["checks"] if check["name"] == "profile"]
    assert [check["status"] for check in found] == ["ok"]
    assert f"from {path}" in found[0]["message"]
