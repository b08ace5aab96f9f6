"""The tree of errors: as drawn, with codes that survive the wire."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared import errors
from rerank_shared.errors import BY_CODE, RerankError, from_code


def drawn() -> Iterator[tuple[str, str]]:
    """Yield (class, parent) of each line of the tree in the module's docstring."""
    assert errors.__doc__
    path: list[str] = []
    for line in errors.__doc__.splitlines():
        stem, dash, rest = line.rpartition("── ")
        if dash or line == "RerankError":
            depth = len(stem) // 4 + 1 if dash else 0
            name = (rest if dash else line).split()[0]
            del path[depth:]
            if path:
                yield name, path[-1]
            path.append(name)


def classes() -> list[type[RerankError]]:
    everything = [value for value in vars(errors).values() if isinstance(value, type)]
    return [cls for cls in everything if issubclass(cls, RerankError)]


def test_the_drawing_is_the_tree() -> None:
    actual = {(cls.__name__, cls.__bases__[0].__name__) for cls in classes() if cls is not RerankError}
    assert set(drawn()) == actual
    assert len(list(drawn())) == len(actual)


def test_each_class_has_a_code_of_its_own() -> None:
    assert sorted(BY_CODE.values(), key=repr) == sorted(classes(), key=repr)
    # A class that forgets its code would take its parent's, and its parent would come out of from_code.
    assert all("code" in vars(cls) for cls in classes())
    assert {cls.code: cls for cls in classes()} == BY_CODE


@pytest.mark.parametrize("cls", classes())
def test_a_code_gives_back_its_class_and_message(cls: type[RerankError]) -> None:
    error = from_code(cls.code, "top_n: must be positive")
    assert type(error) is cls
    assert error.message == "top_n: must be positive"


@given(st.text(), st.text())
def test_an_unknown_code_is_quoted(code: str, message: str) -> None:
    if code not in BY_CODE:
        error = from_code(code, message)
        assert type(error) is RerankError
        assert repr(code) in error.message
        assert message in error.message


@pytest.mark.parametrize("cls", classes())
def test_errors_cross_processes(cls: type[RerankError]) -> None:
    copy = pickle.loads(pickle.dumps(cls("text")))  # noqa: S301
    assert type(copy) is cls
    assert copy.message == "text"


def test_an_error_without_text_has_its_name_for_a_message() -> None:
    assert errors.JobLost().message == "JobLost"
