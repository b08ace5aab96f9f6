"""The Dockerfile: its linter, and what can be known of the images without building them."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rerank_producer.gateway.settings import load_gateway_settings
from rerank_shared.settings import PREFIX, load_settings
from support.chart import VALUES, deployments, pod_of, render, values_of

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "ops/deploy/container/Dockerfile"
TARGETS = ("gateway", "worker", "worker-gpu")


@dataclass
class Stage:
    """One stage: its base and its instructions."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)


def stages() -> dict[str, Stage]:
    """Return the stages by name."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    found: dict[str, Stage] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, name = re.split(r"\s+AS\s+", rest)
            found[name] = Stage(base)
        elif found:
            list(found.values())[-1].steps.append((word, " ".join(rest.split())))
    return found


def steps(target: str) -> list[tuple[str, str]]:
    """Return all instructions that make an image, those of its base stages first."""
    stage = stages()[target]
    return (steps(stage.base) if stage.base in stages() else []) + stage.steps


def last(target: str, word: str) -> str:
    return [rest for each, rest in steps(target) if each == word][-1]


def environ(target: str) -> dict[str, str]:
    pairs = [rest for word, rest in steps(target) if word == "ENV"]
    return dict(re.findall(r"(\w+)=(\S+)", " ".join(pairs)))


def test_its_linter_finds_nothing() -> None:
    command = [str(Path(sys.executable).with_name("hadolint")), "--failure-threshold", "style", str(DOCKERFILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_a_user_by_number_and_takes_signals_itself(target: str) -> None:
    """Kubernetes can tell of a number that it is not root, of a name it can't. A shell would keep signals to itself."""
    assert last(target, "USER") == "10001:10001"
    assert json.loads(last(target, "ENTRYPOINT")) == ["rerank-fleet"]
    assert json.loads(last(target, "CMD")) == [target.partition("-")[0]]


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_starts_with_its_variables(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environ(target).items():
        if name.startswith(PREFIX):
            monkeypatch.setenv(name, value)
    load_settings()
    load_gateway_settings()


@pytest.mark.parametrize("target", TARGETS)
def test_its_health_check_asks_a_port_of_its_own(target: str) -> None:
    check = last(target, "HEALTHCHECK")
    (python, option, module, url) = json.loads(check[check.index("[") :])
    assert (python, option) == ("python", "-m")
    assert importlib.util.find_spec(module) is not None
    assert url == f"http://127.0.0.1:{last(target, 'EXPOSE')}/healthz"


def test_what_is_copied_is_there_and_reaches_the_build() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[1] == "*"
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    sources = [
        source
        for stage in stages().values()
        for word, rest in stage.steps
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    assert set(sources) == let_in
    assert all((ROOT / source).exists() for source in sources)


def test_what_is_installed_is_locked() -> None:
    installs = [
        rest for stage in stages().values() for word, rest in stage.steps if word == "RUN" and "install --c" in rest
    ]
    assert len(installs) == 4
    for install in installs:
        (lock,) = set(re.findall(r"--constraint (\S+)", install))
        assert (ROOT / lock).exists()
    assert not any("dev]" in install for install in installs)


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_can_export_traces(target: str) -> None:
    """By OTEL_ variables alone, as the chart passes them on."""
    built = stages()[f"built-{target}"]
    defaults = dict(rest.split("=") for word, rest in built.steps if word == "ARG")
    (install,) = (rest for word, rest in built.steps if word == "RUN")
    extras = re.findall(r"'?\"?\.\[([^]]+)\]", install)[0].replace("${EXTRAS}", defaults.get("EXTRAS", ""))
    assert "otel" in extras.split(",")


def test_the_chart_runs_the_images_that_are_built() -> None:
    names = {
        pod_of(each)["containers"][0]["image"].rpartition("/")[2].partition(":")[0]
        for path in VALUES.glob("*.yaml")
        for each in deployments(render(values_of(path.stem)))
    }
    assert names == {f"rerank-fleet-{target}" for target in TARGETS}


def test_the_chart_mounts_what_an_image_writes() -> None:
    written = environ("worker")["XDG_CACHE_HOME"]
    for deployment in deployments(render(values_of("minimal"))):
        mounts = {mount["mountPath"] for mount in pod_of(deployment)["containers"][0]["volumeMounts"]}
        assert written in mounts
