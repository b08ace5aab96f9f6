"""The corpus names each object once, by the name users type, and building it leaves no trace."""

import importlib
import inspect
import os
import subprocess
import sys
import threading

import pytest

from rerank_ops.demo.corpus import MAX_BODY_CHARS, Passage, stdlib_passages

BUILD_ALONE = """
import hashlib, sys, threading
from rerank_ops.demo.corpus import stdlib_passages
filters, hook, path = list(__import__("warnings").filters), sys.excepthook, list(sys.path)
passages = stdlib_passages()
assert threading.active_count() == 1, threading.enumerate()
assert __import__("warnings").filters == filters
assert sys.excepthook is hook
assert sys.path == path
assert not {"readline", "tkinter", "antigravity", "this"} & set(sys.modules)
sys.stderr.write(hashlib.sha256(repr(passages).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def passages() -> list[Passage]:
    return stdlib_passages()


@pytest.fixture(scope="module")
def texts(passages: list[Passage]) -> dict[str, str]:
    return {passage.id: passage.text for passage in passages}


def resolved(passage: Passage) -> object:
    """Find the object behind an id as a reader of the name would: the longest module, then attributes."""
    if passage.text.startswith("module "):
        return importlib.import_module(passage.id)
    parts = passage.id.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            owner: object = importlib.import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        break
    else:
        cut, owner = 0, importlib.import_module("builtins")
    for part in parts[cut:-1]:
        owner = getattr(owner, part)
    # A module may make a name on first use; a class hands out a new bound method each time.
    obj = inspect.getattr_static(owner, parts[-1]) if isinstance(owner, type) else getattr(owner, parts[-1])
    return getattr(obj, "__func__", obj)


def test_some_thousands_sorted_and_without_doubles(passages: list[Passage]) -> None:
    ids = [passage.id for passage in passages]
    assert len(ids) > 4000
    assert ids == sorted(set(ids))
    assert len({passage.text for passage in passages}) == len(passages)


@pytest.mark.parametrize(
    "name",
    [
        "open",
        "str.removeprefix",
        "dict.setdefault",
        "os.path.split",
        "os.getcwd",
        "collections.Counter",
        "collections.Counter.most_common",
        "pathlib.Path.mkdir",
        "pathlib.PurePath.stem",
        "random.choice",
        "socket.socket.recv",
        "concurrent.futures.ThreadPoolExecutor",
        "urllib.parse.urljoin",
        "json",
    ],
)
def test_goes_by_the_name_users_type(name: str, texts: dict[str, str]) -> None:
    heading, _, body = texts[name].partition("\n")
    assert heading.removeprefix("class ").removeprefix("module ") == name
    assert len(body) > 20


@pytest.mark.parametrize(
    "name",
    ["builtins.str", "io.open", "posixpath.split", "random.Random.choice", "pathlib.Path.stem", "os.error"],
)
def test_has_no_second_name(name: str, texts: dict[str, str]) -> None:
    assert name not in texts


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_no_object_has_two_names(passages: list[Passage]) -> None:
    names: dict[int, list[str]] = {}
    objects = [resolved(passage) for passage in passages]  # kept alive, so that no id() is used twice
    for passage, obj in zip(passages, objects, strict=True):
        names.setdefault(id(obj), []).append(passage.id)
    assert [doubles for doubles in names.values() if len(doubles) > 1] == []


def test_texts_are_short_single_spaced_prose(passages: list[Passage]) -> None:
    for passage in passages:
        _, _, body = passage.text.partition("\n")
        assert body == " ".join(body.split())
        assert len(body) <= MAX_BODY_CHARS
        assert " at 0x" not in body


def built_alone(hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BUILD_ALONE],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return done.stderr


def test_building_is_silent_and_the_same_in_each_process() -> None:
    # Not compared with this process: pytest replaces hooks such as sys.unraisablehook, which are documented too.
    digest = built_alone("1")
    assert len(digest) == 64
    assert digest == built_alone("2")


def test_building_twice_gives_the_same(passages: list[Passage]) -> None:
    assert stdlib_passages() == passages


def test_replaced_hook_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def excepthook(args: object) -> None:
        """Handle an exception in a thread the way that some other library does."""

    monkeypatch.setattr(threading, "excepthook", excepthook)
    assert "threading.excepthook" not in {passage.id for passage in stdlib_passages()}
