"""fleet.toml: where it is looked for, what it holds, and what is told of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerank_shared.errors import ConfigurationError
from rerank_shared.settings import Settings, load_settings, to_environ
from rerank_shared.settings.fleet_file import DEFAULT_NAME, entry_of, fleet_file_of, read_fleet_file
from rerank_shared.settings.model_entries import ModelEntry

DIGEST = "0" * 64
MODELS = f"""
[[models]]
name = "fast"
source = "file:/models/fast"
precision = "int8"
max_length = 256
digest = "{DIGEST}"
aliases = ["cheap", "old-name"]
share = 3
[[models]]
name = "org/own"
"""
TWO = "[[models]]\nname = 'a'\n[[models]]\nname = 'b'\n"
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
        ("models = 1", ["models: tables expected, such as [[models]]"]),
        ("[models.fast]", ["models: tables expected, such as [[models]]"]),
        ("models = [1]", ["models[0]: "]),
        ("[[models]]", ["models[0].name: Field required"]),
        ("[[models]]\nname = 'a'\n[[models]]\nname = 'b,c'", ["models[1].name: ", "a name without commas"]),
        (f"{TWO}shares = 1", ["models[1].shares: no such field; did you mean share?"]),
        (f"{TWO}share = 0", ["models[1].share: Input should be greater than 0"]),
        (f"{TWO}share = '3'", ["models[1].share: Input should be a valid number"]),
        (f"{TWO}max_length = 4", ["models[1].max_length: Input should be greater than or equal to 8"]),
        (f"{TWO}digest = 'abc'", ["models[1].digest: String should match"]),
        (f"{TWO}precision = 'int4'", ["models[1].precision: Input should be 'fp32', 'int8'"]),
        (f"{TWO}aliases = 'c'", ["models[1].aliases: a list expected"]),
        (f"{TWO}aliases = ['c', 'b']", ["models[1].aliases: a name stands there twice"]),
        (f"{TWO}aliases = ['a']", ["models[1]: 'a' is a name of models[0] too"]),
        (f"{TWO}[routes.a]\nshares = {{ c = 1 }}", ["models: 'a' is a route too"]),
    ],
)
def test_every_mistake_is_named_with_the_file(tmp_path: Path, text: str, told: list[str]) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        read_fleet_file(path)
    for each in (str(path), *told):
        assert each in caught.value.message


def test_its_models_are_those_of_settings_that_name_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, MODELS)
    for settings in (load_settings(fleet_file=path), load_settings(fleet_file=path, namespace="own")):
        assert (settings.model, settings.served_models) == ("fast", ("fast", "org/own"))
    assert load_settings(fleet_file=path, model="org/own").served_models == ("org/own",)
    assert load_settings(fleet_file=path, models=("org/own", "file:/other")).model == "org/own"
    # A child process gets them as variables, and reads the file for what they mean.
    for name, value in to_environ(load_settings(fleet_file=path)).items():
        monkeypatch.setenv(name, value)
    assert load_settings().served_models == ("fast", "org/own")


@pytest.mark.parametrize(("name", "value"), [("RERANK_MODEL", "org/set"), ("RERANK_MODELS", "org/set,org/other")])
def test_variables_win_over_its_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, MODELS)
    assert load_settings().model == "fast"
    monkeypatch.setenv(name, value)
    assert load_settings().model == "org/set"


def test_a_name_or_an_alias_means_its_entry_and_any_other_itself(tmp_path: Path) -> None:
    settings = load_settings(fleet_file=written(tmp_path, MODELS))
    entry = entry_of("cheap", settings)
    assert entry == entry_of("fast", settings)
    assert entry == ModelEntry("fast", "file:/models/fast", "int8", 256, DIGEST, ("cheap", "old-name"), 3)
    assert entry_of("org/own", settings) == ModelEntry("org/own", "org/own")
    assert entry_of("hf:org/other", settings) == ModelEntry("org/other", "hf:org/other")


def test_a_wrong_one_leaves_clients_alone_and_is_told_to_workers(tmp_path: Path) -> None:
    settings = load_settings(fleet_file=written(tmp_path, f"{TWO}share = 0"))
    with pytest.raises(ConfigurationError, match=r"models\[1\]\.share"):
        entry_of(settings.model, settings)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "[[models]\n",
            " is not TOML: Expected ']]' at the end of an array declaration (at line 1, column 9)",
        ),
        (f"{TWO}shares = 1", ": models[1].shares: no such field; did you mean share?"),
    ],
)
def test_a_client_of_a_wrong_file_goes_by_its_settings_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, text: str, told: str
) -> None:
    written(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    assert load_settings(model="org/a").model == "org/a"
    assert not caplog.records
    for _ in range(2):
        assert load_settings().model == Settings.model_fields["model"].default
    said = f"the models of the fleet file are ignored: {tmp_path}/{DEFAULT_NAME}{told}"
    assert [each.message for each in caplog.records] == [said]
