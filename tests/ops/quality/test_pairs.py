"""The frozen pair set is the one that it was, and has what a gate needs: every length, every kind, a licence."""

from __future__ import annotations

import json
from collections import Counter
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from rerank_dev.freeze_pairs import main
from rerank_ops.quality.pairs import PAIRS_FILE, frozen_pairs
from rerank_shared.models.catalogue import load_files
from rerank_shared.settings import Settings
from rerank_worker.tokenizing import PairTokenizer

DATA = files("rerank_ops.quality").joinpath(PAIRS_FILE).read_bytes()


def test_the_set_is_frozen() -> None:
    """Reports of different sets can't be compared; who changes it on purpose changes this line too."""
    assert sha256(DATA).hexdigest() == "beee240de5214e813b7da0be39773c43151c06acec12f8c867ed808f9b241764"


def test_the_set_has_every_kind_and_no_pair_twice() -> None:
    pairs = frozen_pairs()
    assert 250 <= len(pairs) <= 400
    assert min(Counter(pair.kind for pair in pairs).values()) >= 50
    assert set(Counter(pair.kind for pair in pairs)) == {"relevant", "near", "unrelated"}
    assert len({(pair.query, pair.document) for pair in pairs}) == len(pairs)


def test_lengths_go_from_a_few_tokens_to_more_than_a_model_takes() -> None:
    tokenizer = PairTokenizer(load_files(Settings().model).tokenizer_path)
    tokens = sorted(tokenizer.encode(pair.query, [pair.document], 4096)[0].tokens for pair in frozen_pairs())
    assert tokens[0] <= 6
    assert tokens[-1] > 512
    decades = Counter(length // 32 for length in tokens)
    assert all(decades[decade] for decade in range(11))


def test_the_licence_travels_with_the_text() -> None:
    notice = json.loads(DATA.splitlines()[0])
    assert "PSF License Version 2" in notice["licence"]
    assert "Python Software Foundation" in notice["licence"]
    assert notice["pairs"] == len(frozen_pairs())


def test_what_made_it_still_makes_such_a_set(tmp_path: Path) -> None:
    """Not the same one: another Python documents itself in other words."""
    assert main([str(tmp_path / "new.jsonl")]) == 0
    notice, *pairs = (json.loads(line) for line in (tmp_path / "new.jsonl").read_text().splitlines())
    assert notice.keys() == json.loads(DATA.splitlines()[0]).keys()
    assert notice["pairs"] == len(pairs)
    made, frozen = (Counter(kinds) for kinds in ((pair["kind"] for pair in pairs), (p.kind for p in frozen_pairs())))
    assert made.keys() == frozen.keys()
    assert all(abs(made[kind] - frozen[kind]) < 20 for kind in frozen)
