"""`rerank-fleet bulk` in processes of its own: exit statuses, reports, and what another shell sees."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rerank_producer.bulk.committed.lock import locked
from support.commands import COMMAND, CommandLine
from support.waiting import wait_until

pytestmark = pytest.mark.integration

QUERY = "how many people live in Berlin?"
TEXTS = ["Berlin is well known for its museums.", "Berlin has 3,520,031 registered inhabitants.", "Bread is baked."]


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows(count: int, name: str) -> list[dict[str, Any]]:
    return [{"id": n, "query": f"{QUERY} {name} {n}", "documents": TEXTS} for n in range(count)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return written(tmp_path / "in.jsonl", rows(4, tmp_path.name))


def test_a_file_is_reranked_and_a_complete_one_is_left(fleet: CommandLine, source: Path) -> None:
    output = source.with_name("out.jsonl")
    run = fleet.run("bulk", str(source), str(output), "--json", "--metadata")
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert (report["rows"], report["failed_rows"], report["pairs"], report["was_complete"]) == (4, 0, 12, False)
    answers = [json.loads(line) for line in output.read_text().splitlines()]
    assert [answer["id"] for answer in answers] == [0, 1, 2, 3]
    assert all(answer["results"][0]["index"] == 1 for answer in answers)
    assert "model digest" in Path(f"{output}.ir-metadata.yml").read_text()
    again = fleet.run("bulk", str(source), str(output))
    assert (again.returncode, again.stdout) == (0, "")
    assert "is complete already: 4 rows" in again.stderr


def test_rows_go_from_stdin_to_stdout(fleet: CommandLine, source: Path) -> None:
    run = fleet.run("bulk", "-", "-", "--format", "jsonl", "--top-n", "1", stdin=source.read_text())
    assert run.returncode == 0, run.stderr
    assert [len(json.loads(line)["results"]) for line in run.stdout.splitlines()] == [1] * 4


def test_some_failed_rows_are_status_7_and_their_file_is_named(fleet: CommandLine, tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", [*rows(2, "partial"), {"query": "no documents"}])
    run = fleet.run("bulk", str(source), str(tmp_path / "out.jsonl"))
    assert run.returncode == 7
    assert f"1 rows failed, which are in {tmp_path}/out.jsonl.failed.jsonl" in run.stderr
    (failed,) = (tmp_path / "out.jsonl.failed.jsonl").read_text().splitlines()
    assert json.loads(failed)["error"]["message"] == "documents: missing"


def refused(fleet: CommandLine, *arguments: str) -> tuple[int, str]:
    run = fleet.run("bulk", *arguments)
    assert "Traceback" not in run.stderr
    return run.returncode, run.stderr


def test_wrong_arguments_are_status_2(fleet: CommandLine, source: Path) -> None:
    for arguments, named in [(["out", "--depth", "0"], "--depth"), (["-", "--overwrite"], "needs a file as OUTPUT")]:
        status, told = refused(fleet, str(source), *arguments)
        assert (status, named in told) == (2, True), told


def test_what_is_missing_is_status_4(fleet: CommandLine, source: Path, tmp_path: Path) -> None:
    for arguments, named in [
        ([str(tmp_path / "nowhere.jsonl"), str(tmp_path / "x")], "nowhere.jsonl"),
        ([str(source), str(tmp_path / "y"), "--model", "no/such"], "is not served by this fleet"),
        ([str(source), str(tmp_path / "no" / "such" / "folder")], "No such file or directory"),
    ]:
        status, told = refused(fleet, *arguments)
        assert (status, named in told) == (4, True), told


def test_what_was_written_before_is_left_alone(fleet: CommandLine, source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text("mine")
    status, told = refused(fleet, str(source), str(other))
    assert (status, "exists, and other.jsonl.journal" in told) == (3, True), told
    assert other.read_text() == "mine"


def test_what_is_not_as_it_should_be_is_status_5(fleet: CommandLine, source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    assert fleet.run("bulk", str(source), str(output), "--limit-queries", "2").returncode == 0
    status, told = refused(fleet, str(source), str(output))
    assert (status, "limit_queries: was 2, is None" in told) == (5, True), told
    broken = written(tmp_path / "broken.jsonl", [{"query": "no documents"}])
    status, told = refused(fleet, str(broken), str(tmp_path / "z"), "--on-error", "fail")
    assert (status, "row 1: documents: missing" in told) == (5, True), told


def test_without_a_server_or_a_worker_it_says_so(fleet: CommandLine, source: Path, tmp_path: Path) -> None:
    gone = fleet.run("bulk", str(source), str(tmp_path / "a"), "--redis-url", "unix:///nowhere")
    assert (gone.returncode, gone.stdout) == (3, "")
    waited = fleet.run(
        "bulk", str(source), str(tmp_path / "b"), "--give-up-after", "1", RERANK_NAMESPACE="nobody-works-here"
    )
    assert waited.returncode == 6
    assert "no answer for 1 s: no worker has announced the model" in waited.stderr


def test_two_commands_do_not_write_one_output(fleet: CommandLine, source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    with locked(output):
        run = fleet.run("bulk", str(source), str(output))
    assert run.returncode == 3
    assert f"is being written by another command, process {os.getpid()}" in run.stderr


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_an_ended_command_goes_on_to_the_same_bytes(
    fleet: CommandLine, tmp_path: Path, signum: signal.Signals, status: int
) -> None:
    name = f"{signum.name}-{tmp_path.name}"
    lines = [{"query": f"{name} {n}", "documents": TEXTS} for n in range(60)]
    source, output = written(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl"
    environ = fleet.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [COMMAND, "bulk", str(source), str(output), "--window", "2"], env=environ, stderr=subprocess.PIPE
    )
    journal = Path(f"{output}.journal")
    wait_until(lambda: journal.exists() or process.poll() is not None, "the journal", bound_s=40)
    process.send_signal(signum)
    told = process.communicate(timeout=30)[1].decode()
    assert process.returncode == status, told
    assert "Traceback" not in told
    assert not output.exists()
    run = fleet.run("bulk", str(source), str(output))
    assert run.returncode == 0, run.stderr
    whole = tmp_path / "whole.jsonl"
    assert fleet.run("bulk", str(source), str(whole)).returncode == 0
    assert output.read_bytes() == whole.read_bytes()


def test_another_shell_sees_the_run(fleet: CommandLine, source: Path, tmp_path: Path) -> None:
    output, copy = tmp_path / "out.jsonl", tmp_path / "copy.jsonl"
    missing = fleet.run("bulk", "status", str(output))
    assert (missing.returncode, "no journal of a bulk run" in missing.stderr) == (4, True)
    assert fleet.run("bulk", str(source), str(output)).returncode == 0
    seen = fleet.run("bulk", "status", f"{output}.journal")
    assert seen.stdout == f"{output}: complete, 4 rows\n"
    assert json.loads(fleet.run("bulk", "status", str(output), "--json", "--watch").stdout)["state"] == "complete"
    assert fleet.run("bulk", "export", str(output), str(copy)).returncode == 0
    assert copy.read_bytes() == output.read_bytes()
    assert fleet.run("bulk", "export", str(output), str(copy)).returncode == 3


def test_a_dry_run_counts_and_predicts_and_writes_nothing(fleet: CommandLine, tmp_path: Path) -> None:
    source = written(tmp_path / "in.jsonl", [*rows(3, "dry"), {"query": "", "documents": TEXTS}])
    run = fleet.run("bulk", str(source), str(tmp_path / "out.jsonl"), "--dry-run")
    assert run.returncode == 5
    assert run.stdout.startswith("4 rows, 1 of them can't be asked; 9 pairs, some ")
    assert "for 1 process, if no score is cached" in run.stdout
    assert "row 4: query: is empty" in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
