"""Workers serve the models of fleet.toml: each by its names, cut at its length, and only if it is as the file says."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import StartFleet
from rerank_producer import RerankClient
from rerank_shared.errors import ConfigurationError, ModelDamaged
from rerank_shared.models.catalogue import load_files
from rerank_shared.settings import Settings, load_settings
from rerank_worker.loading import load_all
from support.changing import change, models_of, told
from support.jobs import passages
from support.model.exports import write_export

pytestmark = pytest.mark.integration
QUERY = "which rooms has the old house by the river?"


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("exports")
    for seed in (0, 1, 2):
        write_export(root / f"m{seed}", layouts=("unpadded",), seed=seed)
    return root


def written(path: Path, exports: Path, second: str = "") -> Path:
    digest = load_files(f"file:{exports}/m0").model_digest
    text = f"""
        [[models]]
        name = "fast"
        source = "file:{exports}/m0"
        digest = "{digest}"
        max_length = 32
        aliases = ["cheap"]
        share = 3
        [[models]]
        name = "good"
        source = "file:{exports}/m1"
        precision = "fp32"
        {second}
        """
    path.write_text("\n".join(map(str.strip, text.splitlines())))
    return path


def of_file(settings: Settings, path: Path) -> Settings:
    return load_settings(redis_url=settings.redis_url, namespace=settings.namespace, fleet_file=path)


def test_each_is_served_by_its_names_and_with_its_length(
    start_fleet: StartFleet, settings: Settings, exports: Path, tmp_path: Path
) -> None:
    path = written(tmp_path / "fleet.toml", exports)
    asks = of_file(settings, path)
    fleet = start_fleet(**asks.model_dump(include={"model", "models", "fleet_file"}))
    with RerankClient(asks) as client:
        for name, model, length in (
            (None, "tests/random-0", 32),
            ("fast", "tests/random-0", 32),
            ("cheap", "tests/random-0", 32),
            ("good", "tests/random-1", 512),
        ):
            answer = client.rerank(QUERY, passages(2, 90), model=name, partial=False, deadline_ms=60_000)
            assert answer.model.name == model
            assert (max(result.tokens or 0 for result in answer.results) == 32) == (length == 32)
        (process,) = models_of(fleet).values()
        assert [(model.names[0], model.share) for model in process.models] == [
            ("tests/random-0", 3.0),
            ("tests/random-1", None),
        ]
        # The processes read the file anew: what was added to it meanwhile can be loaded by its name.
        path.write_text(
            path.read_text() + f'\n[[models]]\nname = "new"\nsource = "file:{exports}/m2"\naliases = ["n"]\n'
        )
        assert told(change(fleet, "load", "new")).pop()[0] == "done"
        for name in ("new", "n"):
            answer = client.rerank(QUERY, passages(2), model=name, partial=False, deadline_ms=60_000)
            assert answer.model.name == "tests/random-2"
        # Another source under a name that is served is not taken for the one that is.
        path.write_text(path.read_text().replace(f"file:{exports}/m2", f"file:{exports}/m0"))
        ((state, why),) = told(change(fleet, "load", "new"))
        assert (state, why.partition(":")[0]) == ("failed", "new is served from file")
        assert f"and the file has file:{exports}/m0 now: unload it, or use another name" in why
        assert told(change(fleet, "load", "fast")) == {("done", "tests/random-0 is served already")}
        path.write_text("models = 1")
        assert "tables expected" in told(change(fleet, "load", "fast")).pop()[1]


def test_a_model_that_would_take_a_name_of_another_is_refused(
    start_fleet: StartFleet, settings: Settings, exports: Path, tmp_path: Path
) -> None:
    path, only = tmp_path / "fleet.toml", load_settings().model
    path.write_text("")
    fleet = start_fleet(model=only, fleet_file=path)
    path.write_text(f'[[models]]\nname = "new"\nsource = "file:{exports}/m2"\naliases = ["{only}"]\n')
    ((state, why),) = told(change(fleet, "load", "new"))
    assert (state, why.partition(",")[0]) == ("failed", only)
    assert f"a name of new, means {only} here, which is served from {only}: unload that one, or take the name" in why
    with RerankClient(fleet.settings) as client:
        assert client.rerank(QUERY, passages(2), partial=False, deadline_ms=60_000).model.name == only
    assert [model.names for model in models_of(fleet)["test-0"].models] == [(only,)]


def test_a_name_that_requests_use_is_not_moved_to_another_model(
    start_fleet: StartFleet, settings: Settings, exports: Path, tmp_path: Path
) -> None:
    """The other model would keep a name of its own."""
    path = written(tmp_path / "fleet.toml", exports)
    fleet = start_fleet(**of_file(settings, path).model_dump(include={"model", "models", "fleet_file"}))
    text = path.read_text()
    path.write_text(text + f'\n[[models]]\nname = "new"\nsource = "file:{exports}/m2"\naliases = ["tests/random-0"]\n')
    ((state, why),) = told(change(fleet, "load", "new"))
    assert (state, "tests/random-0, a name of new, means tests/random-0 here" in why) == ("failed", True), why
    path.write_text(text.replace('aliases = ["cheap"]', 'aliases = ["cheap", "late"]'))
    ((state, why),) = told(change(fleet, "load", "late"))
    assert (state, "late is a name that the file gave it later: unload it, then load it again" in why) == (
        "failed",
        True,
    ), why


@pytest.mark.parametrize(
    ("second", "error", "reason"),
    [
        (f'digest = "{"0" * 64}"', ModelDamaged, "expected 0{64}"),
        ('max_length = "long"', ConfigurationError, r"models\[1\]\.max_length: Input should be a valid integer"),
    ],
)
def test_what_is_not_as_the_file_says_is_refused_at_the_start(
    settings: Settings, exports: Path, tmp_path: Path, second: str, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        load_all(of_file(settings, written(tmp_path / "fleet.toml", exports, second)))


def test_a_source_of_another_precision_is_refused(settings: Settings, exports: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "fleet.toml", exports)
    path.write_text(path.read_text().replace('"fp32"', '"int8"'))
    with pytest.raises(ConfigurationError, match=r"good: precision int8 expected, and file:.*m1 has fp32"):
        load_all(of_file(settings, path))
