"""Tables through a real fleet: Arrow tables and mappings, which need no engine. tests/engines/ has the engines."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow
import pytest

from integrations.conftest import NOWHERE, QUERY, SCORES, TEXTS, Expected
from rerank_producer import RerankClient
from rerank_producer.integrations.frames import TableOptions, rerank_frame, rerank_frames
from rerank_producer.integrations.ray_data import RerankBatches
from rerank_shared.errors import ConfigurationError, FleetGone, InvalidRequest, UnknownSetting
from support.fleet import TestFleet

pytestmark = pytest.mark.integration

#: A row without a text among those of the query.
PAIRS = {"query": [QUERY] * 5, "text": [*TEXTS[:2], None, *TEXTS[2:]], "score": [*SCORES[:2], 0.1, *SCORES[2:]]}
NO_TEXT = "invalid_request: text: is null"


def options_of(fleet: TestFleet, **more: Any) -> dict[str, Any]:
    """Options that lead to a fleet."""
    return {"redis_url": fleet.settings.redis_url, "namespace": fleet.settings.namespace, "patience_s": 60, **more}


def columns_of(expected: Expected) -> dict[str, list[Any]]:
    """The columns of results of PAIRS."""
    ranks = {index: rank for rank, index in enumerate(expected.order, 1)}
    scores: list[Any] = [*expected.scores[:2], None, *expected.scores[2:]]
    return {
        "rerank_score": scores,
        "rerank_rank": [ranks[0], ranks[1], None, ranks[2], ranks[3]],
        "rerank_error": [None, None, NO_TEXT, None, None],
    }


def test_a_batch_that_is_run_again_has_the_same_columns(fleet: TestFleet, expected: Expected) -> None:
    """As engines do where a process of theirs was killed: the answer is lost, and the batch comes again."""
    rerank = RerankBatches(**options_of(fleet))
    table = pyarrow.table(PAIRS)
    first, second = rerank(table), rerank(table)
    assert first.to_pydict() == {**PAIRS, **columns_of(expected)}
    assert second.equals(first)
    assert [str(kind) for kind in first.schema.types[-3:]] == ["double", "int64", "string"]


def test_a_mapping_of_arrays_keeps_its_arrays(fleet: TestFleet, expected: Expected) -> None:
    batch = {name: np.array(values, dtype=object) for name, values in PAIRS.items()}
    reranked = rerank_frame(batch, **options_of(fleet))
    assert all(reranked[name] is array for name, array in batch.items())
    assert {name: reranked[name] for name in columns_of(expected)} == columns_of(expected)


def test_many_tables_come_back_in_order_with_empty_and_bad_ones_between(fleet: TestFleet, expected: Expected) -> None:
    table, empty = pyarrow.table(PAIRS), pyarrow.table(PAIRS)[:0]
    bad = pyarrow.table({"query": [None], "text": ["a"]}, schema=pyarrow.schema({"query": "string", "text": "string"}))
    blank = pyarrow.table({"query": [" "], "text": ["a"]})
    given = [empty, table, bad, empty, blank, table, bad]
    found = list(rerank_frames(iter(given), TableOptions(**options_of(fleet))))
    assert [len(each) for each in found] == [len(each) for each in given]
    assert found[1].equals(found[5])
    assert found[1].to_pydict()["rerank_score"] == columns_of(expected)["rerank_score"]
    assert found[2]["rerank_error"].to_pylist() == ["invalid_request: query: is null"]
    (error,) = found[4]["rerank_error"].to_pylist()
    assert error.startswith("invalid_request: query: is empty")
    assert found[0].schema == found[1].schema


def test_tables_are_read_no_further_ahead_than_the_window(fleet: TestFleet, expected: Expected) -> None:
    read = 0

    def tables() -> Iterator[Any]:
        nonlocal read
        for _ in range(10_000):
            read += 1
            yield pyarrow.table(PAIRS)

    reranked = rerank_frames(tables(), TableOptions(**options_of(fleet)))
    next(reranked)
    reranked.close()  # type: ignore[attr-defined]
    assert read < 1_000


def test_first_stage_scores_count_where_fusion_is_asked_for(fleet: TestFleet, expected: Expected) -> None:
    asked: dict[str, Any] = {"fusion": "zscore", "fusion_weight": 4.0}
    with RerankClient(fleet.settings) as client:
        response = client.rerank(QUERY, TEXTS, scores=SCORES, partial=False, **asked)
    order = [result.index for result in response.results]
    assert order != expected.order
    ranks = rerank_frame(pyarrow.table(PAIRS), **options_of(fleet, **asked))["rerank_rank"].to_pylist()
    del ranks[2]
    assert [order.index(index) + 1 for index in range(4)] == ranks


def test_settings_travel_with_pickled_options(fleet: TestFleet, expected: Expected) -> None:
    again = pickle.loads(pickle.dumps(RerankBatches(**options_of(fleet))))  # noqa: S301
    assert again(pyarrow.table(PAIRS)).to_pydict() == {**PAIRS, **columns_of(expected)}


def test_a_fleet_that_is_away_is_raised_when_patience_is_out() -> None:
    with pytest.raises(FleetGone, match=r"^no answer for 0\.5 s: Redis at unix:///nowhere"):
        rerank_frame(PAIRS, redis_url=NOWHERE, patience_s=0.5)


def test_an_unknown_column_is_told_with_those_that_there_are() -> None:
    with pytest.raises(InvalidRequest, match=r"^column 'passage': .*; it has 'query', 'text', 'score'$"):
        rerank_frame(PAIRS, text="passage", redis_url=NOWHERE)


@pytest.mark.parametrize("table", [[1, 2], "text", None])
def test_what_is_no_table_is_told(table: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^table: a DataFrame of pandas or Polars"):
        rerank_frame(table, redis_url=NOWHERE)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"querry": "q"}, UnknownSetting, r"^querry is no option of TableOptions; did you mean query\?"),
        ({"fusion": "weighted"}, ConfigurationError, r"^fusion_ratio: .*run again"),
        ({"fusion": "zscore", "score": None}, ConfigurationError, r"^score: fusion='zscore' needs a column"),
        ({"fusion_weight": 2.0}, ConfigurationError, r"^fusion_weight and fusion_ratio count with fusion only"),
        ({"documents": "d", "query_id": "i"}, ConfigurationError, r"^query_id: has no meaning with documents"),
        ({"patience_s": -1}, ConfigurationError, r"^patience_s: "),
    ],
)
def test_a_wrong_option_is_told(options: dict[str, Any], kind: type[ConfigurationError], message: str) -> None:
    with pytest.raises(kind, match=message):
        TableOptions(**options)


def test_no_repr_shows_the_server_s_password() -> None:
    options = TableOptions(redis_url="redis://:secret@localhost/0")
    assert "secret" not in f"{options!r} {options.model_dump()}"
