"""TextStore: each layout of a corpus, built once, whole or not at all, whoever builds at the same time."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from rerank_producer.bulk.texts import text_store
from rerank_producer.bulk.texts.text_store import TextStore, cache_directory, identity_of
from rerank_shared.errors import InputRefused

TEXTS = {"d1": "A title and the text", "2": "only a text", "é/3": "line\u2028separator"}


def jsonl(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def store(folder: Path, name: str, data: bytes) -> TextStore:
    (folder / name).write_bytes(data)
    return TextStore.of(folder / name, folder / "cache")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("c.tsv", "d1\tA title and the text\n2\tonly a text \r\n\né/3\tline\u2028separator".encode()),
        (
            "c.jsonl",
            jsonl(
                {"_id": "d1", "title": "A title", "text": "and the text ", "metadata": {}},
                {"_id": 2, "title": "", "text": "only a text"},
                {"_id": "é/3", "text": "line\u2028separator"},
            ),
        ),
        (
            "pyserini",
            b"\xef\xbb\xbf"
            + jsonl(
                {"id": "d1", "contents": "A title and the text"},
                {"docid": "2", "contents": "only a text"},
                {"id": "é/3", "contents": "line\u2028separator"},
            ),
        ),
    ],
)
def test_each_layout_is_read(tmp_path: Path, name: str, data: bytes) -> None:
    assert store(tmp_path, name, data).get_many([*TEXTS, "absent", "2"]) == TEXTS
    assert store(tmp_path, f"{name}.gz", gzip.compress(data)).get_many(TEXTS) == TEXTS
    assert store(tmp_path, f"{name}.zst", zstandard.compress(data)).get_many(TEXTS) == TEXTS


@pytest.mark.parametrize(("id_name", "text_name"), [("_id", "text"), ("docid", "contents")])
def test_parquet_is_read(tmp_path: Path, id_name: str, text_name: str) -> None:
    columns = {id_name: list(TEXTS), text_name: ["and the text", *list(TEXTS.values())[1:]]}
    path = parquet(tmp_path / "c.parquet", title=["A title", None, ""], **columns)
    assert TextStore.of(path, tmp_path / "cache").get_many(TEXTS) == TEXTS
    numbers = parquet(tmp_path / "n.parquet", id=[1, 2], text=["one", "two"])
    assert TextStore.of(numbers, tmp_path / "cache").get_many(["2"]) == {"2": "two"}


@given(st.dictionaries(st.text(min_size=1, max_size=6), st.text(max_size=20), max_size=30))
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, texts: dict[str, str]) -> None:
    folder = tmp_path_factory.mktemp("texts")
    lines = [json.dumps({"_id": name, "text": text}).encode() + b"\n" for name, text in texts.items()]
    found = store(folder, "c.jsonl", b"".join(lines)).get_many(texts)
    assert found == {name: text.strip() for name, text in texts.items()}


def test_it_is_built_once(tmp_path: Path) -> None:
    (tmp_path / "c.tsv").write_bytes(b"".join(b"%d\ttext %d\n" % (n, n) for n in range(12_000)))
    told: list[int] = []
    for _ in range(2):
        opened = TextStore.of(tmp_path / "c.tsv", tmp_path / "cache", told.append)
        assert opened.get_many(map(str, range(12_000)))["11999"] == "text 11999"
        opened.close()
    assert told == [5_000, 10_000, 12_000]
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".sqlite"]


def test_a_file_that_was_changed_is_read_anew(tmp_path: Path) -> None:
    assert store(tmp_path, "c.tsv", b"1\tone").get_many("1") == {"1": "one"}
    assert store(tmp_path, "c.tsv", b"1\teno").get_many("1") == {"1": "eno"}


def test_a_long_file_is_known_by_its_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_store, "_SAMPLES", 4)
    monkeypatch.setattr(text_store, "_SAMPLE_BYTES", 10)
    path = tmp_path / "long"
    seen = set()
    for place in (0, 35, 66, 99):
        path.write_bytes(b"a" * place + b"b" + b"a" * (99 - place))
        seen.add(identity_of(path))
    path.write_bytes(b"a" * 101)
    assert len(seen | {identity_of(path)}) == 5


def test_an_id_given_twice(tmp_path: Path) -> None:
    many = b"".join(b"%d\tt\n" % number for number in range(6_000))
    same = store(tmp_path, "same.tsv", b"a\tone\nb\ttwo\na\tone\n" + many + b"b\ttwo\n")
    assert same.get_many(["a", "b", "5999"]) == {"a": "one", "b": "two", "5999": "t"}
    for data, lines in [(b"a\tone\nb\ttwo\na\tother", "1 and 3"), (b"a\tone\n" + many + b"a\tother", "1 and 6002")]:
        with pytest.raises(InputRefused, match=rf"other\.tsv: the id 'a' stands on lines {lines} with different"):
            store(tmp_path, "other.tsv", data)
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no tab", "begins with b'no tab'"),
        (b"1\tone\nno tab\n", "line 2: an id, a tab and a text"),
        (b"1\tone\n\n2\t\xff\n", "line 3: .*decode"),
        (b'{"_id": "1"}', "line 1: none of the fields text, contents"),
        (b'{"_id": true, "text": "t"}', "line 1: _id: a text or a whole number"),
        (b'{"_id": "1", "text": "t"}\n{"_id": "1", "te', "line 2: not JSON"),
        (b'{"_id": "1", "text": null}', "line 1: text: a text"),
        (b'{"_id": "1", "text": "t", "title": 1}', "line 1: title: a text"),
        (b"PAR1 and nothing more", "no Parquet file"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(InputRefused, match=rf"corpus.*{message}"):
        store(tmp_path, "corpus", data)
    assert list((tmp_path / "cache").iterdir()) == []


def test_parquet_without_texts_is_told(tmp_path: Path) -> None:
    path = parquet(tmp_path / "c.parquet", id=["1"], body=["t"])
    with pytest.raises(InputRefused, match="none of the fields text, contents is there; its columns are id, body"):
        TextStore.of(path, tmp_path / "cache")


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        TextStore.of(tmp_path / "absent", tmp_path / "cache")


def test_an_empty_file_has_no_texts(tmp_path: Path) -> None:
    assert store(tmp_path, "c.tsv", b"").get_many(["1"]) == {}


def test_two_may_build_at_once(tmp_path: Path) -> None:
    (tmp_path / "c.tsv").write_bytes(b"".join(b"%d\ttext %d\n" % (n, n) for n in range(10_000)))
    meeting, found = threading.Barrier(2, timeout=60), []

    def build() -> None:
        met: list[int] = []

        def wait(records: int) -> None:
            if not met:
                meeting.wait()
            met.append(records)

        found.append(TextStore.of(tmp_path / "c.tsv", tmp_path / "cache", wait).get_many(["9"]))

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [{"9": "text 9"}] * 2
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".sqlite"]


KILLED = """
import os, signal, sys
from pathlib import Path
from rerank_producer.bulk.texts.text_store import TextStore
TextStore.of(Path(sys.argv[1]), Path(sys.argv[2]), lambda records: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_a_builder_that_was_killed_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    (tmp_path / "c.tsv").write_bytes(b"1\tone\n")
    cache = tmp_path / "cache"
    run = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "c.tsv"), str(cache)], check=False)
    assert run.returncode == -signal.SIGKILL
    assert [path.suffix for path in cache.iterdir()] == [".tmp"]
    # That of a builder that lives, and that of another machine.
    (left,) = cache.iterdir()
    alive = cache / left.name.replace(left.name.split(".")[-3], str(os.getpid()))
    foreign = cache / "x.sqlite.another-machine.1.abcd.tmp"
    for path in (alive, foreign):
        path.touch()
    assert TextStore.of(tmp_path / "c.tsv", cache).get_many(["1"]) == {"1": "one"}
    assert not left.exists()
    assert alive.exists()
    assert foreign.exists()


def test_a_database_that_is_none_is_built_again(tmp_path: Path) -> None:
    store(tmp_path, "c.tsv", b"1\tone").close()
    (path,) = (tmp_path / "cache").iterdir()
    for damage in (b"", b"no database at all, and longer than a header of one" * 9):
        path.write_bytes(damage)
        assert TextStore.of(tmp_path / "c.tsv", tmp_path / "cache").get_many(["1"]) == {"1": "one"}


FULL = """
import resource, signal, sys
from pathlib import Path
from rerank_producer.bulk.texts.text_store import TextStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    TextStore.of(Path(sys.argv[1]), Path(sys.argv[2]))
except OSError as error:
    print(error.filename, error)
"""


def test_a_disk_without_room_is_told_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "c.tsv").write_bytes(b"".join(b"%d\t%s\n" % (number, b"x" * 500) for number in range(20_000)))
    cache = tmp_path / "cache"
    run = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "c.tsv"), str(cache)], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith(str(cache))
    assert list(cache.iterdir()) == []


def test_the_cache_lies_where_the_user_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "rerank-fleet" / "corpora"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory() == tmp_path / ".cache" / "rerank-fleet" / "corpora"
