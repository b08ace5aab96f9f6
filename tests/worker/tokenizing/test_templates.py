"""Templates of other families are read off the tokenizer file, and one without pairs is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from rerank_shared.contract.token_ids import TokenIds
from rerank_shared.errors import ConfigurationError
from rerank_worker.tokenizing import PairTokenizer
from support.model.library_pairs import assert_equal, reference

VOCABULARY = ["<s>", "<pad>", "</s>", "<cls>", "[unk]", "how", "many", "people", "live", "in", "berlin"]


def word_tokenizer(post_processor: Any) -> Tokenizer:
    vocabulary = {word: index for index, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[unk]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if post_processor is not None:
        tokenizer.post_processor = post_processor
    return tokenizer


def template(pair: str) -> processors.TemplateProcessing:
    specials = [(word, index) for index, word in enumerate(VOCABULARY[:4])]
    return processors.TemplateProcessing(single="<s> $A </s>", pair=pair, special_tokens=specials)


SHAPES: dict[str, Callable[[], Any]] = {
    "roberta": lambda: processors.RobertaProcessing(("</s>", 2), ("<s>", 0)),
    "bert": lambda: processors.BertProcessing(("</s>", 2), ("<s>", 0)),
    "nothing before": lambda: template("$A:0 </s>:0 $B:1 </s>:1"),
    "nothing after": lambda: template("<s>:0 $A:0 </s>:0 $B:1"),
    # XLNet's: two tokens behind, of two types.
    "types within": lambda: template("$A:0 </s>:0 $B:1 </s>:1 <cls>:2"),
    "types between": lambda: template("<s>:0 $A:0 </s>:0 </s>:1 $B:1 </s>:1"),
    "types of the query": lambda: template("<s>:3 $A:2 </s>:1 $B:0 </s>:0"),
}


@pytest.mark.parametrize("shape", SHAPES)
@given(first=st.integers(0, 30), second=st.integers(0, 30), max_length=st.integers(8, 40))
def test_other_templates_are_read_off_the_file(
    shape: str, first: int, second: int, max_length: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    library = word_tokenizer(SHAPES[shape]())
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    library.save(str(path))
    query, document = "how many " * first, "people live in berlin " * second
    tokenizer, expected = PairTokenizer(path, 10_000), reference(library, query, document, max_length)
    library.no_truncation()
    ids = TokenIds.of(library.encode(document, add_special_tokens=False).ids)
    for pair in (
        *tokenizer.encode(query, [document, ids], max_length),
        *tokenizer.encode(query, [document], max_length),
    ):
        assert_equal(pair, expected)


def test_different_templates_have_different_names(tmp_path: Path) -> None:
    names = set()
    for shape, post_processor in SHAPES.items():
        word_tokenizer(post_processor()).save(str(tmp_path / shape))
        names.add(str(PairTokenizer(tmp_path / shape).template))
    assert len(names) == len(SHAPES)


@pytest.mark.parametrize(
    "post_processor",
    [
        lambda: None,
        lambda: processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]),
    ],
    ids=["no post-processor", "no pair in the template"],
)
def test_a_tokenizer_without_pairs_is_no_cross_encoder_s(post_processor: Callable[[], Any], tmp_path: Path) -> None:
    """Without a separator a query and its document are one text, and every score would be wrong in silence."""
    word_tokenizer(post_processor()).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ConfigurationError, match="does not encode pairs"):
        PairTokenizer(tmp_path / "tokenizer.json")
