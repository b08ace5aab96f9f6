"""The lines of a request file."""

from __future__ import annotations

import pytest

from rerank_producer import RequestOptions
from rerank_producer.bulk.formats.request_line import parse_line
from rerank_shared.contract.schemas import RerankRequest
from rerank_shared.errors import InvalidRequest


def test_a_line_of_a_request_file_comes_before_the_options() -> None:
    line = b'{"query": "q", "documents": ["a", {"text": "b", "id": "2"}], "top_n": 1, "class": "interactive"}'
    request = parse_line(line, {"top_n": 5, "job_class": "bulk", "model": "m"})
    assert (request.top_n, request.job_class, request.model) == (1, "interactive", "m")


@pytest.mark.parametrize(
    "line", [b"[]", b'{"documents": []}', b'{"query": "q"}', b"\xff", b'{"query": 1, "documents": []}']
)
def test_a_bad_line_of_a_request_file_is_refused(line: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_line(line, {})


def test_a_request_has_no_option_that_the_client_does_not_take() -> None:
    """A line's options go to the client as they are."""
    assert RerankRequest.model_fields.keys() - {"query", "documents"} == set(RequestOptions.__annotations__)
