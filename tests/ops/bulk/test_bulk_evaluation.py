"""Quality before and after, of runs as they stand in files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rerank_ops.bulk.evaluation import evaluated, evaluation_text
from rerank_ops.judging.randomisation import randomisation_p
from rerank_producer import InputRefused
from rerank_producer.bulk.formats.jsonl import JsonlFormat
from rerank_producer.bulk.formats.rows import ReadOptions, WriteOptions
from rerank_producer.bulk.formats.runs.trec import opened_texts, trec

QRELS = "q1 0 b 1\nq2 0 d 1\nq3 0 a 1\n"


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_run_is_measured_before_and_after_and_against_its_ceiling(tmp_path: Path) -> None:
    run = written(tmp_path / "in.trec", "q1 Q0 a 1 9 t\nq1 Q0 b 2 8 t\nq2 Q0 c 1 9 t\nq2 Q0 a 2 8 t\n")
    output = written(tmp_path / "out.trec", "q1 Q0 b 1 2 t\nq1 Q0 a 2 1 t\nq2 Q0 a 1 2 t\nq2 Q0 c 2 1 t\n")
    texts = opened_texts(
        written(tmp_path / "q.tsv", "q1\tone\nq2\ttwo\n"), written(tmp_path / "c.tsv", "a\tA\nb\tB\nc\tC\n"), tmp_path
    )
    form = trec(run, texts, ReadOptions(), WriteOptions())
    found = evaluated(form, output, written(tmp_path / "qrels", QRELS))
    assert (found.queries, found.left_out) == (2, 1)
    by_name = {each.measure: each for each in found.measures}
    assert list(by_name) == ["nDCG@10", "RR@10", "R@100"]
    assert (by_name["RR@10"].before, by_name["RR@10"].after, by_name["RR@10"].ceiling) == (0.25, 0.5, 0.5)
    assert by_name["RR@10"].gain.mean == 0.25
    assert (by_name["R@100"].before, by_name["R@100"].gain.mean, by_name["R@100"].p) == (0.5, 0.0, 1.0)
    assert "2 judged queries; 1 others are not in the output" in evaluation_text(found)


def test_answers_of_requests_are_measured_by_the_ids_of_their_documents(tmp_path: Path) -> None:
    line = {"id": "q1", "query": "one", "documents": [{"id": "a", "text": "A"}, {"id": "b", "text": "B"}]}
    source = written(tmp_path / "in.jsonl", json.dumps(line) + "\n")
    output = written(
        tmp_path / "out.jsonl", json.dumps({"line": 1, "id": "q1", "results": [{"index": 1}, {"index": 0}]}) + "\n"
    )
    form = JsonlFormat(source, ReadOptions(), WriteOptions())
    qrels = written(tmp_path / "qrels", QRELS)
    (_, rr, _) = evaluated(form, output, qrels).measures
    assert (rr.before, rr.after) == (0.5, 1.0)
    with pytest.raises(InputRefused, match="judges none of the queries"):
        evaluated(form, output, written(tmp_path / "others", "q9 0 a 1\n"))


def test_a_difference_by_chance_has_a_large_p_and_a_constant_one_a_small_one() -> None:
    assert randomisation_p(np.zeros(5)) == 1.0
    assert randomisation_p(np.array([1.0, -1.0] * 20)) == 1.0
    assert randomisation_p(np.full(20, 0.1)) < 0.001
    assert randomisation_p(np.array([0.1, 0.1])) == pytest.approx(0.5, abs=0.03)
