"""Each way of use in examples/ runs against a real fleet and prints what it says."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from examples.conftest import Shared
from rerank_producer import RerankClient
from rerank_shared.settings import to_environ
from support.examples import FOLDER, Examples, names, skip_without
from support.http.gateway import TestGateway

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("examples")]

#: Programs that need nothing but a fleet.
PLAIN = [
    "asyncio_client",
    "cache_and_top_n",
    "celery_sender",
    "click_feedback",
    "client_metrics",
    "first_stage_scores",
    "fuse_first_stages",
    "many_requests",
    "submit_and_collect",
    "sync_client",
    "tenants_and_bulk",
]
#: Programs that need a framework, by what they import of it.
FRAMEWORKS = {
    "haystack_ranker": "haystack",
    "langchain_compressor": "langchain_core",
    "llama_index_postprocessor": "llama_index.core",
}


@pytest.mark.parametrize("program", PLAIN)
def test_a_way_of_use(examples: Examples, shared: Shared, program: str) -> None:
    examples.run(program, shared.settings)


@pytest.mark.clients
@pytest.mark.parametrize(("program", "module"), FRAMEWORKS.items())
def test_an_adapter(examples: Examples, shared: Shared, program: str, module: str) -> None:
    skip_without(module)
    examples.run(program, shared.settings)


def test_rag_step(examples: Examples, shared: Shared) -> None:
    """How much is scored within its budget is the machine's affair: with its pairs in the cache, all is."""
    step = runpy.run_path(str(FOLDER / "rag_step.py"))
    with RerankClient(shared.settings) as client:
        client.rerank(step["QUESTION"], step["PASSAGES"], deadline_ms=60_000, partial=False)
    examples.run("rag_step", shared.settings)


def test_http_request(examples: Examples, shared: Shared, tmp_path: Path) -> None:
    gateway = TestGateway(shared.settings, tmp_path / "gateway.log")
    try:
        examples.run("http_request", shared.settings, gateway.wait_ready().url)
    finally:
        gateway.stop()


def test_celery_own_task(examples: Examples, shared: Shared) -> None:
    command = ["celery", "--app", "celery_own_task", "worker", "--pool=threads"]
    worker = examples.spawn(*command, cwd=FOLDER, **to_environ(shared.settings))
    examples.run("celery_own_task", shared.settings)
    worker.end()


def test_every_program_is_run() -> None:
    own = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert names() - own == {*PLAIN, *FRAMEWORKS}
