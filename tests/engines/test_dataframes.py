"""DataFrames of pandas and Polars, reranked by a real fleet."""

from __future__ import annotations

from typing import Any

import pytest

from engines.pairs import LISTS, PAIRS, Expected
from rerank_producer.integrations.frames import rerank_frame
from rerank_shared.settings import Settings

pytestmark = [pytest.mark.engines, pytest.mark.integration]
REASON = "not installed here: `make test-engines`"


def test_pandas(fleet: Settings, expected: Expected) -> None:
    pandas = pytest.importorskip("pandas", reason=REASON)
    # Labels of rows that stand twice, and a column without a name in text.
    frame = pandas.DataFrame(PAIRS, index=[7] * len(PAIRS)).assign(kept=1)
    frame[3] = "kept"
    before = frame.copy()
    reranked = rerank_frame(frame, query_id="query_id")
    pandas.testing.assert_frame_equal(frame, before)
    pandas.testing.assert_frame_equal(reranked[list(before.columns)], before)
    assert list(reranked.columns[-3:]) == ["rerank_score", "rerank_rank", "rerank_error"]
    assert [str(kind) for kind in reranked.dtypes[-3:]] == ["float64", "Int64", "object"]
    expected.check_pairs(rows_of(reranked.drop(columns=["kept", 3])))
    pandas.testing.assert_frame_equal(rerank_frame(frame, query_id="query_id"), reranked)


def test_pandas_lists(fleet: Settings, expected: Expected) -> None:
    pandas = pytest.importorskip("pandas", reason=REASON)
    expected.check_lists(rerank_frame(pandas.DataFrame(LISTS), documents="documents").to_dict("records"))


def test_an_empty_frame_of_pandas_has_the_columns_too(fleet: Settings) -> None:
    pandas = pytest.importorskip("pandas", reason=REASON)
    reranked = rerank_frame(pandas.DataFrame(PAIRS)[:0])
    assert len(reranked) == 0
    assert str(reranked["rerank_rank"].dtype) == "Int64"


def test_polars(fleet: Settings, expected: Expected) -> None:
    polars = pytest.importorskip("polars", reason=REASON)
    frame = polars.DataFrame(PAIRS)
    reranked = rerank_frame(frame, query_id="query_id")
    assert reranked.columns == [*frame.columns, "rerank_score", "rerank_rank", "rerank_error"]
    assert reranked.dtypes[-3:] == [polars.Float64, polars.Int64, polars.String]
    expected.check_pairs(reranked.iter_rows(named=True))
    expected.check_lists(rerank_frame(polars.DataFrame(LISTS), documents="documents").iter_rows(named=True))
    assert rerank_frame(frame[:0]).schema == reranked.schema


def test_a_lazy_frame_is_told_to_be_collected() -> None:
    polars = pytest.importorskip("polars", reason=REASON)
    from rerank_shared.errors import InvalidRequest

    with pytest.raises(InvalidRequest, match=r"not polars\..*LazyFrame; collect what is lazy first"):
        rerank_frame(polars.LazyFrame(PAIRS))


def rows_of(frame: Any) -> list[dict[str, Any]]:
    """Return the rows of a pandas DataFrame with None for what is missing."""
    plain = frame.astype(object)
    rows: list[dict[str, Any]] = plain.where(plain.notna(), None).to_dict("records")
    return rows
