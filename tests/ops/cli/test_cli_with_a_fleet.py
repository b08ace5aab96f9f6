"""Commands against a running fleet, each in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.commands import CommandLine

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("cli")]

QUERY = "how do I read a text file?"
TEXTS = ["The Eiffel Tower is in Paris.", "os.remove deletes a file.", "Path.read_text returns a file's text."]
IDS = ["tower", "remove", "read"]
LINES = "\n".join(TEXTS) + "\n\n"
OBJECTS = "\n".join(json.dumps({"text": text, "id": id_}) for text, id_ in zip(TEXTS, IDS, strict=True))


def ranking(answer: dict[str, Any]) -> list[int]:
    return [result["index"] for result in answer["results"]]


def test_documents_come_from_arguments_files_and_stdin(fleet: CommandLine, tmp_path: Path) -> None:
    lines, objects = tmp_path / "lines.txt", tmp_path / "objects.jsonl"
    lines.write_text(LINES.replace("\n", "\r\n"))
    objects.write_text(OBJECTS)
    runs = [
        fleet.run("rerank", "--json", QUERY, *TEXTS),
        fleet.run("rerank", "--json", QUERY, "--documents", str(lines)),
        fleet.run("rerank", "--json", QUERY, stdin=LINES),
        fleet.run("rerank", "--json", QUERY, "-d", str(objects)),
        fleet.run("rerank", "--json", QUERY, stdin=OBJECTS),
    ]
    assert [(run.returncode, run.stderr) for run in runs] == [(0, "")] * len(runs)
    answers = [json.loads(run.stdout) for run in runs]
    assert [ranking(answer) for answer in answers] == [ranking(answers[0])] * len(runs)
    assert ranking(answers[0])[0] == 2
    assert answers[0]["usage"] == {"tokens": answers[0]["usage"]["tokens"], "pairs_run": 3, "pairs_cached": 0}
    assert {result["relevance_score"] for answer in answers for result in answer["results"][:1]} == {
        answers[0]["results"][0]["relevance_score"]
    }
    assert answers[3]["results"][0]["id"] == "read"
    assert answers[4]["usage"]["pairs_cached"] == 3


def test_options_reach_the_request(fleet: CommandLine) -> None:
    long = "read a text file " * 100
    run = fleet.run(
        "rerank", "--json", "--top-n", "1", "--max-length", "16", "--class", "bulk", QUERY, long, long + "x"
    )
    answer = json.loads(run.stdout)
    assert len(answer["results"]) == 1
    assert answer["results"][0]["tokens"] == 16
    assert answer["results"][0]["truncated"]


def test_people_get_a_table_that_fits_their_terminal(fleet: CommandLine) -> None:
    texts = ["unrelated words about cheese " * 30, "[bold]how to read[/bold] a text file :smile:"]
    fleet.run("rerank", QUERY, *texts)
    run = fleet.run("rerank", QUERY, *texts, "a new one")
    header, first, *_, last = run.stdout.splitlines()
    assert (run.returncode, run.stderr) == (0, "")
    assert header.split() == ["#", "score", "moved", "document"]
    assert first.split()[0] == "1"
    assert "↑1" in first
    assert "[bold]how to read[/bold] a text file :smile:" in first
    assert "cached" in first
    assert last.startswith("1 scored, 2 cached in ")
    assert max(map(len, run.stdout.splitlines())) <= 100


def test_first_stage_scores_count_and_are_shown(fleet: CommandLine, tmp_path: Path) -> None:
    scored = tmp_path / "scored.jsonl"
    scored.write_text(
        "\n".join(
            json.dumps({"text": text, "score": score}) for text, score in zip(TEXTS, [9.0, 1.0, 2.0], strict=True)
        )
    )
    fused = ("--fusion", "weighted", "--fusion-ratio", "100", "--fusion-weight", "2", "--first-stage", "bm25")
    run = fleet.run("rerank", QUERY, "-d", str(scored), *fused)
    header, first, *_, last = run.stdout.splitlines()
    assert (run.returncode, run.stderr) == (0, "")
    assert header.split() == ["#", "fused", "score", "first", "stage", "moved", "document"]
    assert TEXTS[0] in first
    assert "9.0000" in first
    assert last.endswith("; fused by weighted, weight 2, ratio 100")
    answer = json.loads(fleet.run("rerank", "--json", QUERY, "-d", str(scored), *fused).stdout)
    assert ranking(answer) == [0, 2, 1]
    assert answer["fusion"]["first_stage"] == "bm25"
    ascending = fleet.run("rerank", "--json", QUERY, "-d", str(scored), *fused, "--first-stage-order", "ascending")
    assert ranking(json.loads(ascending.stdout)) == [1, 2, 0]
    assert ranking(json.loads(fleet.run("rerank", "--json", QUERY, "-d", str(scored)).stdout))[0] == 2


def test_fusion_without_scores_is_told(fleet: CommandLine) -> None:
    run = fleet.run("rerank", QUERY, *TEXTS, "--fusion", "weighted")
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("error: fusion: 'weighted' needs first-stage scores")


def test_an_error_is_one_line_and_no_trace(fleet: CommandLine) -> None:
    for arguments, hint in [
        (["--model", "no/such", QUERY, "x"], "knows cross-encoder/"),
        (["--deadline-ms", "0", QUERY, "nobody has scored this yet"], "no document was scored"),
        (["  ", "x"], "query: is empty"),
        (["--max-length", "513", QUERY, "x"], "max_length"),
    ]:
        run = fleet.run("rerank", *arguments)
        assert run.returncode == 1, run
        assert run.stdout == ""
        assert run.stderr.splitlines()[-1].startswith("error: ")
        assert hint in run.stderr
        assert "Traceback" not in run.stderr


def test_the_cache_is_shown_and_emptied(fleet: CommandLine) -> None:
    fleet.run("rerank", "cache", "one", "two")
    fleet.run("rerank", "cache", "one", "two")
    before = json.loads(fleet.run("cache", "stats", "--json").stdout)
    assert before["scores"] >= 2
    assert before["bytes"] > 0
    assert fleet.run("cache", "stats").stdout.startswith(f"scores    {before['scores']}\n")
    refused = fleet.run("cache", "clear", stdin="n\n")
    assert refused.returncode == 1
    assert json.loads(fleet.run("cache", "stats", "--json").stdout)["scores"] == before["scores"]
    assert f"{before['scores']} scores deleted" in fleet.run("cache", "clear", "--yes").stderr
    after = json.loads(fleet.run("cache", "stats", "--json").stdout)
    assert (after["scores"], after["hits"], after["hit_rate"]) == (0, 0, None)


def test_a_healthy_fleet_passes_the_doctor(fleet: CommandLine) -> None:
    run = fleet.run("doctor", "--json", RERANK_CONCURRENCY="3")
    report = json.loads(run.stdout)
    assert (run.returncode, run.stderr) == (0, "")
    assert report["ok"]
    status = {check["name"]: check["status"] for check in report["checks"]}
    assert status == {
        "version": "ok", "packages": "ok", "cores": "ok", "cpu": "ok", "device": "ok", "server": "ok", "access": "ok",
        "eviction": "ok", "persistence": "warn", "model": "ok", "kernel": "ok", "engine": "ok", "workers": "ok",
        "backlog": "ok", "pools": "ok",
    }  # fmt: skip
    settings = {setting["variable"]: (setting["value"], setting["origin"]) for setting in report["settings"]}
    assert settings["RERANK_CONCURRENCY"] == ("3", "environment")
    assert settings["RERANK_GRACE_S"] == ("20.0", "default")


def test_the_doctor_sees_a_fleet_of_another_model(fleet: CommandLine, tmp_path: Path) -> None:
    run = fleet.run("doctor", "--json", RERANK_MODEL=f"file:{tmp_path}")
    failures = {check["name"]: check for check in json.loads(run.stdout)["checks"] if check["status"] == "fail"}
    assert run.returncode == 1
    assert sorted(failures) == ["model", "workers"]
    assert "holds no ONNX model" in failures["model"]["message"]
    assert "is not served by this fleet" in failures["workers"]["message"]
    assert "RERANK_MODEL" in failures["workers"]["fix"]
