"""`rerank-fleet keys`: what it prints where, and what it leaves in the file. No server is needed for any of it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from rerank_ops.cli.admin.keys import create
from rerank_producer.apis.common.problems import Refused
from rerank_producer.gateway.auth.keyfile import parse
from rerank_producer.gateway.auth.keyring import ApiKey, Keyring
from support.commands import COMMAND, CommandLine

pytestmark = pytest.mark.xdist_group("cli")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


@pytest.fixture
def command(environ: dict[str, str], file: Path) -> CommandLine:
    return CommandLine(environ | {"RERANK_GATEWAY_KEYS": str(file)})


def find(file: Path, key: str) -> ApiKey:
    return Keyring.open(file).find(Headers({"authorization": f"Bearer {key}"}))


def failed(run: subprocess.CompletedProcess[str], status: int = 1) -> str:
    assert (run.returncode, run.stdout) == (status, "")
    assert "Traceback" not in run.stderr
    return run.stderr


def test_a_key_is_printed_alone_and_once_and_opens_the_gateway(command: CommandLine, file: Path) -> None:
    run = command.run("keys", "create", "search")
    assert run.returncode == 0
    key = run.stdout.removesuffix("\n")
    assert find(file, key) == ApiKey(key[4:12], "search", "search")
    assert key not in run.stderr
    assert "only its hash" in run.stderr
    assert key[13:] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file], "no draft is left"


def test_limits_are_those_of_the_options(command: CommandLine, file: Path) -> None:
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=30)
    options = ["--tenant=shop", "--tokens-per-s=20000", "--burst-tokens=5000", "--max-documents=100"]
    options += ["--max-body-bytes=1000000", "--deadline-ms=250", f"--expires={day:%Y-%m-%d}", "--cache-scope=tenant"]
    options += ["--fusion=weighted", "--fusion-weight=0.5"]
    key = command.run("keys", "create", "search", *options).stdout.strip()
    limits = ApiKey(
        key[4:12], "search", "shop", 20_000.0, 5_000.0, 1_000_000, 100, 250.0, day, "tenant", "weighted", 0.5
    )
    assert find(file, key) == limits
    wide = CommandLine(command.environ | {"COLUMNS": "200"})
    assert wide.run("keys", "list").stdout.splitlines()[1].split()[-4:-1] == ["tenant", "weighted", "0.5"]


def test_models_of_a_key_are_kept_as_they_are_spelled(command: CommandLine, file: Path) -> None:
    names = ["search", "file:/srv/models/größe 2", 'odd"name\\']
    key = command.run("keys", "create", "shop", *(f"--model={name}" for name in names), "--model=hf:search").stdout
    assert find(file, key.strip()).models == tuple(names)
    (listed,) = json.loads(command.run("keys", "list", "--json").stdout)
    assert listed["models"] == names
    refused = failed(command.run("keys", "create", "none", "--model= "))
    assert "models.0:" in refused
    assert command.run("keys", "revoke", "shop").returncode == 0


def test_keys_are_listed_without_anything_that_opens(command: CommandLine, file: Path) -> None:
    assert command.run("keys", "create", "first").returncode == 0
    assert command.run("keys", "create", "second", "--tenant=shop", "--tokens-per-s=1000").returncode == 0
    run = command.run("keys", "list")
    header, *lines = run.stdout.splitlines()
    assert header.split()[:4] == ["name", "id", "tenant", "tokens/s"]
    entries = parse(file.read_text())
    assert [line.split()[:3] for line in lines] == [[e.key.name, e.key.key_id, e.key.tenant] for e in entries]
    assert lines[1].split()[3:] == ["1,000", "10,000", "fleet"]
    listed = command.run("keys", "list", "--json").stdout
    assert [(each["name"], each["tokens_per_s"]) for each in json.loads(listed)] == [("first", None), ("second", 1000)]
    assert not any(entry.digest.hex() in run.stdout + listed for entry in entries)


def test_limits_that_no_key_has_take_no_column(command: CommandLine, file: Path) -> None:
    """All of them beside each other leave a terminal of 80 columns two letters for each."""
    command.run("keys", "create", "indexing-of-papers", "--model=search")
    header, line = command.run("keys", "list").stdout.splitlines()
    assert header.split() == ["name", "id", "tenant", "cache", "models"]
    assert line.split()[2:] == ["indexing-of-papers", "fleet", "search"]


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_revoked_key_opens_nothing_and_the_others_still_do(command: CommandLine, file: Path, by: str) -> None:
    first, second = (command.run("keys", "create", name).stdout.strip() for name in ("first", "second"))
    run = command.run("keys", "revoke", "first" if by == "name" else first[4:12])
    assert (run.returncode, run.stdout, run.stderr) == (0, "", f"first ({first[4:12]}) revoked\n")
    assert find(file, second).name == "second"
    with pytest.raises(Refused):
        find(file, first)
    assert command.run("keys", "revoke", "second").returncode == 0
    assert command.run("keys", "list").stderr == f"no key in {file}: nobody gets in\n"


def test_an_option_names_another_file(command: CommandLine, file: Path) -> None:
    other = file.with_name("other.toml")
    key = command.run("keys", "create", "search", "--file", str(other)).stdout.strip()
    assert find(other, key).name == "search"
    assert not file.exists()


def test_mode_and_link_of_the_file_and_what_a_person_wrote_stay(command: CommandLine, file: Path) -> None:
    target = file.with_name("mounted.toml")
    target.write_text("# ask Ann\n")
    target.chmod(0o640)
    file.symlink_to(target)
    assert command.run("keys", "create", "search").returncode == 0
    assert file.is_symlink()
    assert target.read_text().startswith("# ask Ann\n\n[[key]]\n")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_the_file_stays_whose_it_is_when_root_changes_it(command: CommandLine, file: Path) -> None:
    command.run("keys", "create", "search")
    os.chown(file, 65534, 65534)
    assert command.run("keys", "revoke", "search").returncode == 0
    assert (file.stat().st_uid, file.stat().st_gid) == (65534, 65534)


def test_commands_at_once_lose_no_key(file: Path) -> None:
    names = [f"key{number:02}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda name: create(name, file), names)) == [None] * 40
    assert sorted(entry.key.name for entry in parse(file.read_text())) == names


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("create", "two words"), "name: "),
        (("create", "search", "--tenant", "a:b"), "tenant: "),
        (("create", "search", "--tokens-per-s", "inf"), "tokens_per_s: "),
        (("create", "search", "--fusion-weight", "inf"), "fusion_weight: "),
        (("create", "search", "--burst-tokens", "10"), "burst_tokens has no meaning without tokens_per_s"),
        (("revoke", "nobody"), "no key of the name or id 'nobody'; there are: none"),
        (("list",), "No such file or directory"),
    ],
)
def test_mistakes_are_told_in_a_line_and_change_nothing(
    command: CommandLine, file: Path, arguments: tuple[str, ...], told: str
) -> None:
    message = failed(command.run("keys", *arguments))
    assert message.startswith(f"error: {file}: ")
    assert told in message
    assert list(file.parent.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("create",),
        ("create", "search", "--expires", "2020-01-01"),
        ("create", "search", "--expires", "soon"),
        ("create", "search", "--max-documents", "0"),
        ("create", "search", "--fusion", "mean"),
        ("create", "search", "--fusion-weight", "-1"),
    ],
)
def test_wrong_usage_is_status_2(command: CommandLine, file: Path, arguments: tuple[str, ...]) -> None:
    failed(command.run("keys", *arguments), 2)
    assert not file.exists()


def test_without_a_file_named_it_asks_for_one(command_line: CommandLine) -> None:
    assert "RERANK_GATEWAY_KEYS" in failed(command_line.run("keys", "create", "search"), 2)


def test_a_name_is_given_once_and_a_damaged_file_is_left_alone(command: CommandLine, file: Path) -> None:
    assert command.run("keys", "create", "search").returncode == 0
    assert "revoke it first" in failed(command.run("keys", "create", "search"))
    file.write_text("[[key")
    for arguments in (("create", "other"), ("revoke", "search"), ("list",)):
        assert "no valid TOML" in failed(command.run("keys", *arguments))
    assert file.read_text() == "[[key"


def test_a_folder_that_is_not_there_is_named(command: CommandLine, file: Path) -> None:
    away = file.parent / "away"
    assert str(away) in failed(command.run("keys", "create", "search", "--file", str(away / "keys.toml")))


def test_a_disk_without_room_is_told_and_changes_nothing(command: CommandLine, file: Path) -> None:
    """By the limit on the size of files, which fails as a full disk does: in the middle of a write, without a name."""
    assert command.run("keys", "create", "search").returncode == 0
    before = file.read_text()
    run = subprocess.run(
        ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", COMMAND, "keys", "create", "other"],
        env=command.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "a file could not be written" in failed(run)
    assert file.read_text() == before
    assert list(file.parent.iterdir()) == [file]
