"""fleet.toml: where it is looked for, what it holds, and what is told of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerank_shared.errors import ConfigurationError
from rerank_shared.settings import load_settings
from rerank_shared.settings.fleet_file import DEFAULT_NAME, fleet_file_of, read_fleet_file

ROUTES = '[routes.search]\nshares = { a = 3, b = 1 }\n[routes."org/own"]\nshares = { a = 1 }\n'


def written(directory: Path, text: str, name: str = DEFAULT_NAME) -> Path:
    path = directory / name
    path.write_text(text)
    return path


def test_it_is_that_of_the_settings_or_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert fleet_file_of(load_settings()) is None
    here = written(tmp_path, ROUTES)
    named = written(tmp_path, "", "other.toml")
    found = fleet_file_of(load_settings())
    assert found is not None
    assert (found.path, list(found.routes)) == (here, ["search", "org/own"])
    other = fleet_file_of(load_settings(fleet_file=named))
    assert other is not None
    assert (other.path, other.routes) == (named, {})


def test_one_that_is_named_and_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.toml can't be read: No such file"):
        fleet_file_of(load_settings(fleet_file=tmp_path / "gone.toml"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("routes = 1", ["routes: tables expected"]),
        ("[[route]]", ["route: no such table; did you mean routes?"]),
        ("[routes.a]\nshares = { b = 1 }\n[routes.b]\nshares = {}", ["'b' is a route too", "routes.b: shares: "]),
        ("[routes.'a b']\nshares = { b = 0 }", ["the name 'a b'", "shares.b: "]),
        ("[routes", ["is not TOML"]),
        ("[routes.a]\nshares = { b = 1, b = 2 }", ["is not TOML"]),
    ],
)
def test_every_mistake_is_named_with_the_file(tmp_path: Path, text: str, told: list[str]) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        read_fleet_file(path)
    for each in (str(path), *told):
        assert each in caught.value.message
