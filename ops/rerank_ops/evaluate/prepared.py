"""What is known before any model runs: the queries, what first stages found for them, and the texts to be ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_ops.dense.embedder_files import EmbedderFiles, bundled_files, directory_files
from rerank_ops.evaluate.dataset import Labelled, Source, labelled_queries, texts_of
from rerank_ops.evaluate.first_stages import FirstStage, bm25, dense, rrf, run_of
from rerank_ops.evaluate.oddities import Oddities
from rerank_ops.evaluate.systems import System, ceiling, of_stage
from rerank_ops.fusion.labelled import LabelledQuery, LabelledSet
from rerank_shared.contract.schemas import MAX_ID_CHARS, Document
from rerank_shared.errors import ConfigurationError, InputRefused

if TYPE_CHECKING:
    from rerank_ops.dense.embedding import Progress

BM25, DENSE = "bm25", "dense"
#: Before the directory of another embedder.
DENSE_OF = f"{DENSE}:"


@dataclass(frozen=True, slots=True)
class Prepared:
    """The data of an evaluation. `stage` is the first stage that is ranked, cut to `k`; `candidates` are its texts.

    `systems` are rows that need no model: first stages, runs of other systems, and the perfect order.
    """

    labelled: Labelled
    stage: FirstStage
    candidates: LabelledSet
    systems: tuple[System, ...]
    k: int


def named_run(given: str) -> tuple[str, Path]:
    """Return the name of a run and its file, of NAME=FILE or of a FILE, called as it is without suffixes."""
    name, equals, path = given.partition("=")
    if not equals or Path(given).is_file():
        name, path = Path(given).name.partition(".")[0], given
    return name, Path(path)


def is_dense(stage: str) -> bool:
    """Return whether a first stage is an embedder."""
    return stage == DENSE or stage.startswith(DENSE_OF)


def embedder_of(stage: str) -> EmbedderFiles:
    """Return the embedder that a first stage names. Raises ModelUnavailable, ModelDamaged, ConfigurationError."""
    return bundled_files() if stage == DENSE else directory_files(Path(stage.removeprefix(DENSE_OF)))


def stage_name(stage: str) -> str:
    """Return what a first stage is called: bm25, dense, or the name of an embedder's directory or of a run."""
    if stage in (BM25, DENSE):
        return stage
    return Path(stage.removeprefix(DENSE_OF)).resolve().name if is_dense(stage) else named_run(stage)[0]


def prepared(
    source: Source,
    stages: Sequence[str],
    runs: Sequence[str],
    *,
    k: int,
    limit: int | None,
    oddities: Oddities,
    tell: Progress = lambda done, total: None,
) -> Prepared:
    """Read all data, and find candidates. `stages` are bm25, dense, dense:DIR or runs; `runs` are of other systems.

    `tell` hears how much of the corpus is embedded. Raises ConfigurationError for a name given twice and for an
    embedder that is missing or damaged, InputRefused with file and line, OSError.
    """
    refuse_twice(["rrf", *map(stage_name, stages), *(named_run(each)[0] for each in runs)])
    # Before anything is read, which may take minutes.
    embedders = {each: embedder_of(each) for each in stages if is_dense(each)}
    labelled = labelled_queries(source, limit, oddities)
    queries = labelled.queries.keys()
    read = {
        each: run_of(*named_run(each), queries, oddities) for each in stages if each != BM25 and each not in embedders
    }
    given = [run_of(*named_run(each), queries, oddities) for each in runs]
    every = (*read.values(), *given)
    wanted = None if len(read) < len(stages) else {name for stage in every for name in stage.documents()}
    texts = texts_of(source, labelled, wanted, oddities)
    found = [
        read[each].among(texts.keys(), oddities)
        if each in read
        else _searched(each, embedders.get(each), texts, labelled.queries, k, tell)
        for each in stages
    ]
    whole = found[0] if len(found) == 1 else rrf(found, queries)
    if whole not in found:
        found.append(whole)
    stage = whole.cut(k)
    for each in given:
        # They count all the same, as unjudged ones, as other evaluators have it.
        oddities.note(f"documents of {each.name} that are not in the corpus", sorted(each.documents() - texts.keys()))
    for each in (*found, *given):
        oddities.note(f"queries for which {each.name} finds nothing", (q for q in queries if not each.hits.get(q)))
    systems = (
        *(of_stage(each.cut(k), tuple(queries)) for each in found),
        *(of_stage(each, tuple(queries), "given") for each in given),
        ceiling(stage, labelled.qrels, k),
    )
    return Prepared(labelled, stage, _candidates(source.name, labelled, stage, texts), systems, k)


def _searched(
    stage: str,
    embedder: EmbedderFiles | None,
    texts: Mapping[str, str],
    queries: Mapping[str, str],
    k: int,
    tell: Progress,
) -> FirstStage:
    return bm25(texts, queries, k) if embedder is None else dense(stage_name(stage), embedder, texts, queries, k, tell)


def _candidates(name: str, labelled: Labelled, stage: FirstStage, texts: dict[str, str]) -> LabelledSet:
    if long := next((each for each in stage.documents() if len(each) > MAX_ID_CHARS), None):
        raise InputRefused(
            f"{name}: the document id {long[:40]!r}… has {len(long):,} characters, over {MAX_ID_CHARS:,}"
        )
    queries = tuple(
        LabelledQuery(
            query,
            text,
            tuple(Document(id=found, text=texts[found], score=score) for found, score in stage.hits.get(query, ())),
        )
        for query, text in labelled.queries.items()
    )
    return LabelledSet(name, queries, labelled.qrels)


def refuse_twice(names: Sequence[str]) -> None:
    """Raise ConfigurationError where two systems would have one name, of which a table would show the last alone."""
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f"two systems would be called {name!r}: give a run another name, as NAME=FILE")
