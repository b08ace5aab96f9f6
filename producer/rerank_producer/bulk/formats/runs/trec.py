"""`trec`, `msmarco` and `beir`: runs of a first stage, by the files that their users have.

trec     qid Q0 docno rank score tag             with a file of queries and a corpus
msmarco  qid, tab, pid; then a rank or a score   with queries.tsv and collection.tsv
beir     a TREC run                              with the directory of corpus.jsonl and queries.jsonl
"""

from __future__ import annotations

from pathlib import Path

from rerank_producer.bulk.files.sources import COMPRESSED
from rerank_producer.bulk.formats.rows import ReadOptions, WriteOptions
from rerank_producer.bulk.formats.runs.run import RunFormat, RunTexts
from rerank_producer.bulk.formats.runs.run_lines import msmarco_line, trec_line
from rerank_producer.bulk.texts.text_store import Progress, TextStore
from rerank_shared.errors import InputRefused


def trec(path: Path | None, texts: RunTexts, options: ReadOptions, write: WriteOptions) -> RunFormat:
    """Return the format of a TREC run. Raises InputRefused for standard input, ConfigurationError for a wrong tag."""
    return RunFormat("trec", trec_line, path, texts, options, write)


def msmarco(path: Path | None, texts: RunTexts, options: ReadOptions, write: WriteOptions) -> RunFormat:
    """Return the format of pairs of query and passage. Raises as `trec`."""
    return RunFormat("msmarco", msmarco_line, path, texts, options, write)


def beir(path: Path | None, texts: RunTexts, options: ReadOptions, write: WriteOptions) -> RunFormat:
    """Return the format of a TREC run over a BEIR directory, whose `texts` are opened before. Raises as `trec`."""
    return RunFormat("beir", trec_line, path, texts, options, write)


def opened_texts(
    queries: Path, corpus: Path, cache: Path | None = None, progress: Progress = lambda records: None
) -> RunTexts:
    """Open the files of queries and documents; the first time, that takes as long as reading them once.

    Raises InputRefused with file and line, OSError, ConfigurationError.
    """
    return RunTexts(TextStore.of(queries, cache, progress), TextStore.of(corpus, cache, progress))


def beir_files(directory: Path) -> tuple[Path, Path]:
    """Return the queries and the corpus of a BEIR directory. Raises InputRefused."""
    return _file(directory, "queries.jsonl"), _file(directory, "corpus.jsonl")


def file_in(directory: Path, *names: str) -> Path | None:
    """Return the first of the files that is there, as it is or compressed."""
    paths = (directory / f"{name}{suffix}" for name in names for suffix in ("", *COMPRESSED))
    return next((path for path in paths if path.is_file()), None)


def _file(directory: Path, name: str) -> Path:
    if (found := file_in(directory, name)) is None:
        raise InputRefused(f"{directory}: no directory in the layout of BEIR: it has no {name}, nor {name}.gz or .zst")
    return found
