"""Without the extra, and without an SDK, there are no spans and no headers, and answers are the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rerank_shared.tracing import spans
from rerank_shared.tracing.export import exporters_asked
from rerank_shared.tracing.messaging import carrier_in, request_id_of

#: Put before a program, it takes the extra away from it.
WITHOUT_THE_EXTRA = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
"""
PROGRAM = """
import logging, sys
logging.basicConfig(format="%(message)s")
from rerank_producer.testing import InMemoryFleet
from rerank_shared.tracing import spans
from rerank_shared.tracing.export import exporting
with exporting("test"), InMemoryFleet(score=lambda q, d: float(len(d))).client() as client:
    response = client.rerank("q", ["a", "bb"])
    print(spans.UNAVAILABLE is None, spans.tracer() is None, [result.index for result in response.results])
print(*sorted(name for name in sys.modules if name.startswith("opentelemetry")))
"""


def run(program: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environ)


def test_without_the_extra_answers_are_the_same_and_nothing_is_imported() -> None:
    done = run(WITHOUT_THE_EXTRA + PROGRAM)
    assert done.stdout.split("\n")[:2] == ["False True [1, 0]", ""]
    assert done.stderr == ""


def test_without_the_extra_a_wish_for_traces_is_answered_with_a_remedy() -> None:
    done = run(WITHOUT_THE_EXTRA + PROGRAM, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert done.stdout.startswith("False True [1, 0]")
    assert "pip install 'rerank-fleet[otel]'" in done.stderr


def test_with_the_extra_but_no_wish_there_is_no_sdk() -> None:
    done = run(PROGRAM)
    assert done.stdout.startswith("True True [1, 0]")


def test_an_exporter_that_is_not_installed_is_named() -> None:
    done = run(PROGRAM, OTEL_TRACES_EXPORTER="otlp", OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert "pip install opentelemetry-exporter-otlp-proto-grpc" in done.stderr
    assert done.stdout.startswith("True True [1, 0]")


@pytest.mark.parametrize("variable", ["OTEL_PROPAGATORS", "OTEL_PYTHON_TRACER_PROVIDER"])
def test_variables_that_name_what_is_not_installed_cost_spans_alone(variable: str) -> None:
    """OpenTelemetry fails as it is imported, in any program that has the client."""
    done = run(PROGRAM, **{variable: "nonsense", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    assert done.stdout.startswith("False True [1, 0]")
    assert "an OTEL_ variable names what is not installed?" in done.stderr


def test_a_collector_that_is_away_costs_no_answer() -> None:
    done = run(PROGRAM, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert done.stdout.startswith("True False [1, 0]")


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({}, []),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, []),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, ["otlp_proto_http"]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, ["otlp_proto_http"]),
        ({"OTEL_TRACES_EXPORTER": "otlp, console"}, ["otlp_proto_http", "console"]),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ["otlp_proto_grpc"]),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}, []),
    ],
)
def test_the_variables_of_the_sdk_choose_the_exporters(environ: dict[str, str], names: list[str]) -> None:
    assert exporters_asked(environ) == names


def test_without_an_sdk_spans_are_nothing() -> None:
    with spans.spanning("a") as outer, spans.spanning("b", "SERVER", {"c": 1}) as inner:
        assert outer is inner is spans.NO_SPAN
        inner.set({"c": 1})
        inner.event("e")
        inner.fail("code")
        inner.stages(0.0, {"run": 1.0})
        inner.link(outer)
    assert spans.start_span("a").carrier == {}
    assert spans.current_span() is spans.NO_SPAN
    assert spans.read_http({"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}) == {}


def test_only_texts_in_the_headers_of_a_message_are_a_context() -> None:
    assert carrier_in({"traceparent": "t", "tracestate": None, "id": "x"}) == {"traceparent": "t"}
    assert carrier_in({"traceparent": 7}) == {}


def test_shards_have_the_id_of_their_request() -> None:
    assert request_id_of("0af3-2") == request_id_of("0af3") == "0af3"
