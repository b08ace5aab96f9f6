"""Runs the suites and judges them: python -m rerank_dev.conformance [--control] [SUITE ...].

Exit status 1 where something differs that is not listed, or something listed no longer does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from rerank_dev.conformance.judge import Verdict, judge, read_expected
from rerank_dev.conformance.sources import fetch_tests
from rerank_shared.errors import ConfigurationError
from rerank_shared.queue.celery_app import make_celery
from rerank_shared.settings import load_settings

DIRECTORY = Path("build/conformance")
EXPECTED = resources.files("rerank_dev.conformance").joinpath("expected.toml")


@dataclass(frozen=True, slots=True)
class Suite:
    """Tests of one package that run together, in some processes; most of their time they sleep."""

    package: str
    paths: tuple[str, ...]
    processes: int


SUITES = {
    # Apart from each other: kombu's unit tests leave fakes of sockets and event loops behind in their process.
    "kombu": Suite("kombu", ("t/integration/test_redis.py", "t/integration/test_redis_brpop_qos.py"), processes=4),
    "kombu-unit": Suite("kombu", ("t/unit/transport/test_redis.py",), processes=1),
    "celery": Suite(
        "celery",
        tuple(
            f"t/integration/test_{name}.py"
            for name in ("tasks", "inspect", "redis_backend", "group_chains", "worker", "connection_recovery")
        ),
        processes=2,
    ),
    "celery-unit": Suite("celery", ("t/unit/backends/test_redis.py",), processes=1),
    "canvas": Suite("celery", ("t/integration/test_canvas.py",), processes=2),
}


def main(arguments: list[str]) -> int:
    """Run what was asked for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.conformance", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}; all unless some are named")
    parser.add_argument("--control", action="store_true", help="run kombu's and Celery's own classes")
    options = parser.parse_args(arguments)
    if unknown := set(options.suites) - SUITES.keys():
        parser.error(f"no suite {', '.join(sorted(unknown))}")
    try:
        verdicts = [_run(name, control=options.control) for name in options.suites or SUITES]
    except ConfigurationError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0 if all(verdict.fine for verdict in verdicts) else 1


def _run(name: str, *, control: bool) -> Verdict:
    suite = SUITES[name]
    root = fetch_tests(suite.package, DIRECTORY).absolute()
    started = time.monotonic()
    outcomes = _outcomes(name, suite, root, control=control)
    verdict = judge(outcomes, read_expected(EXPECTED.read_text(), name, control=control))
    whose = "their own classes" if control else "the fleet's classes"
    print(f"{name} on {whose}: {verdict.told}, {time.monotonic() - started:.0f} s", flush=True)
    for line in verdict.lines():
        print(f"  {line}")
    return verdict


def _outcomes(name: str, suite: Suite, root: Path, *, control: bool) -> dict[str, str]:
    stem = f"{name}-{'control' if control else 'fleet'}"
    path, log = (DIRECTORY.absolute() / f"{stem}.{ending}" for ending in ("json", "log"))
    path.unlink(missing_ok=True)
    _configure_celery(root, control=control)
    plugins = ["-p", "rerank_dev.conformance.plugin", "-p", "celery.contrib.pytest", "-p", "no:cacheprovider"]
    options = [
        "--numprocesses",
        str(suite.processes),
        "--timeout",
        "60",
        "--tb",
        "short",
        "-q",
        "-rfE",
        "-o",
        "addopts=",
    ]
    environ = os.environ | {"CONFORMANCE_OUTCOMES": str(path), "CONFORMANCE_CONTROL": "1" if control else ""}
    # Some tests start `celery` by its name.
    environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), environ.get("PATH", os.defpath)))
    with log.open("w") as output:
        command = [sys.executable, "-m", "pytest", *plugins, *options, *suite.paths]
        status = subprocess.run(command, cwd=root, env=environ, stdout=output, stderr=subprocess.STDOUT, check=False)
    if status.returncode not in (0, 1) or not path.is_file():
        raise ConfigurationError(f"pytest could not run the suite {name}, status {status.returncode}: see {log}")
    outcomes: dict[str, str] = json.loads(path.read_text())
    return outcomes


def _configure_celery(root: Path, *, control: bool) -> None:
    """Have Celery's tests use the options that the fleet's apps have; they read a file of this name."""
    app = make_celery(load_settings(namespace="conformance"), results=False)
    options = {} if control else {"broker_transport_options": app.conf.broker_transport_options}
    (root / "integration-tests-config.json").write_text(json.dumps(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
