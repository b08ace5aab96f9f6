"""A contender is a process: its answers come back, its reasons too, and it gets one thread and no settings of ours."""

import json
import sys
from pathlib import Path

import pytest

from rerank_dev.bench.engine.children import Child, ContenderFailed, child_environment, runner_command

CONTENDER = """
import sys
from rerank_dev.bench.engine.child import Arguments, serve

def load(arguments: Arguments):
    if "broken" in arguments.options:
        raise ValueError("no such model")
    print("a library that prints")

    def score(query, documents, batch_size):
        if query == "crash":
            raise RuntimeError("bad shape")
        if query == "die":
            sys.exit("killed by its own library")
        return [float(len(document) + batch_size) for document in documents]

    return score

serve(load, ["numpy", "no-such-package"])
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    script, requests = tmp_path / "contender.py", tmp_path / "requests.json"
    script.write_text(CONTENDER)
    queries = ["q", "crash", "die"]
    requests.write_text(json.dumps([{"query": query, "documents": ["a", "bbb"]} for query in queries]))
    return [sys.executable, str(script), str(tmp_path), str(requests), "-1"]


def test_answers_hold_scores_and_times(command: list[str], tmp_path: Path) -> None:
    with Child(command, tmp_path / "log.txt") as child:
        ready = child.receive()
        assert ready["ready"]
        assert set(ready["versions"]) == {"python", "numpy"}
        answer = child.ask({"run": 0})
        assert answer["scores"] == [1.0, 3.0]
        assert answer["seconds"] >= 0
        assert child.ask({"run": 0, "batch_size": 4})["scores"] == [5.0, 7.0]
        assert child.ask({"run": 0, "documents": [1]})["scores"] == [3.0]
    assert "a library that prints" in (tmp_path / "log.txt").read_text()


def test_a_run_that_fails_says_why_and_the_next_one_works(command: list[str], tmp_path: Path) -> None:
    with Child(command, tmp_path / "log.txt") as child:
        child.receive()
        with pytest.raises(ContenderFailed, match="RuntimeError: bad shape"):
            child.ask({"run": 1})
        assert child.ask({"run": 0})["scores"] == [1.0, 3.0]


def test_one_that_dies_leaves_its_last_line_as_reason(command: list[str], tmp_path: Path) -> None:
    with Child(command, tmp_path / "log.txt") as child:
        child.receive()
        with pytest.raises(ContenderFailed, match="killed by its own library"):
            child.ask({"run": 2})
        with pytest.raises(ContenderFailed, match="killed by its own library"):
            child.ask({"run": 0})


def test_one_that_can_not_load_says_why(command: list[str], tmp_path: Path) -> None:
    with Child([*command, "broken=yes"], tmp_path / "log.txt") as child, pytest.raises(ContenderFailed) as failed:
        child.receive()
    assert str(failed.value) == "ValueError: no such model"


def test_an_environment_that_is_not_there_is_a_reason(tmp_path: Path) -> None:
    with pytest.raises(ContenderFailed, match="can't be started: No such file"):
        Child(["/no/such/python", "-c", ""], tmp_path / "log.txt")


def test_contenders_get_one_thread_no_network_and_no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANK_LAYOUT", "packed")
    environment = child_environment()
    assert not [name for name in environment if name.startswith("RERANK_")]
    assert {environment[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")} == {"1"}
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert environment["TOKENIZERS_PARALLELISM"] == "false"


def test_a_runner_is_a_module_with_its_options(tmp_path: Path) -> None:
    command = runner_command("python", "ours", tmp_path, tmp_path / "r.json", 1, layout="unpadded")
    assert command[1:3] == ["-m", "rerank_dev.bench.engine.runners.ours"]
    assert command[-2:] == ["1", "layout=unpadded"]
