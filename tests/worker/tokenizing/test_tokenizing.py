"""Pairs of ids, held against the pair encoding of the `tokenizers` library itself."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Encoding, Tokenizer, models, processors

from rerank_shared.contract.token_ids import TokenIds
from rerank_shared.errors import InvalidRequest, ModelDamaged
from rerank_shared.models.catalogue import load_files
from rerank_shared.settings import Settings
from rerank_worker import metrics
from rerank_worker.tokenizing import PairTokenizer, longest_first
from support.model.library_pairs import assert_equal, reference

REAL = load_files(Settings().model).tokenizer_path
SPECIALS = 3
ours = PairTokenizer(REAL)
#: One that has room for all it meets here, and one that has room for a few documents only; both live on from test to
#: test, and so answer from what other limits left in them.
cached, evicting = PairTokenizer(REAL, 50_000_000), PairTokenizer(REAL, 1_200)
KINDS = {"plain": ours, "cached": cached, "evicting": evicting}
EVERY_KIND = pytest.mark.parametrize("tokenizer", KINDS.values(), ids=KINDS)
theirs = Tokenizer.from_file(str(REAL))
theirs.no_padding()

#: Text as it comes, and text of words, which is longer in tokens than random characters are.
wild = st.text(max_size=60)
words = st.sampled_from(
    [
        "berlin",
        "how",
        "many",
        "unbelievably",
        "résumé",
        "日本語",
        "[SEP]",
        "[MASK]",
        "don't",
        "3.14",
        "\n",
        "\u00a0",
        "שלום",
        "🤖",
    ]
)
prose = st.lists(words, max_size=40).map(" ".join)
texts = wild | prose
lengths = st.integers(8, 64)


def ids_of(text: str) -> TokenIds:
    """Return what a caller would send in place of a text."""
    theirs.no_truncation()
    return TokenIds.of(theirs.encode(text, add_special_tokens=False).ids)


@EVERY_KIND
@given(query=texts, documents=st.lists(texts, min_size=1, max_size=5), max_length=lengths | st.just(512))
@example("", [""], 8)
@example("word " * 100, ["word " * 100], 9)
@example("word " * 100, ["word " * 101], 8)
@example("a", ["\x00\ufffd\u202e"], 8)
def test_pairs_equal_the_library_s(tokenizer: PairTokenizer, query: str, documents: list[str], max_length: int) -> None:
    expected = [reference(theirs, query, document, max_length) for document in documents]
    for _ in range(2):
        pairs = tokenizer.encode(query, documents, max_length)
        assert len(pairs) == len(documents)
        for pair, one in zip(pairs, expected, strict=True):
            assert_equal(pair, one)


@given(texts, st.lists(st.tuples(texts, st.booleans()), min_size=1, max_size=5), lengths | st.just(512))
@example("word " * 100, [("word " * 100, True)], 10)
@example("word " * 100, [("word " * 101, True), ("word " * 99, True)], 8)
def test_ids_are_as_good_as_the_text_they_are_of(
    query: str, documents: list[tuple[str, bool]], max_length: int
) -> None:
    pairs = cached.encode(query, [ids_of(text) if as_ids else text for text, as_ids in documents], max_length)
    for pair, (text, _) in zip(pairs, documents, strict=True):
        assert_equal(pair, reference(theirs, query, text, max_length))


@given(st.integers(0, 90), st.integers(0, 90), lengths)
def test_both_texts_of_any_length(first: int, second: int, max_length: int) -> None:
    query, document = " ".join(["how"] * first), " ".join(["many"] * second)
    (pair,) = ours.encode(query, [document], max_length)
    assert_equal(pair, reference(theirs, query, document, max_length))


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
def test_truncation_keeps_all_that_fits(first: int, second: int, room: int) -> None:
    one, other = longest_first(first, second, room)
    assert one + other == min(room, first + second)
    assert 0 <= one <= first
    assert 0 <= other <= second
    # The shorter text is only cut when half the room is not enough for it.
    assert min(one, other) >= min(first, second, room // 2)


#: Texts whose head alone is encoded, and those where no head can be found.
LONG: dict[str, str] = {
    "words": "the quick brown fox jumps over the lazy dog " * 2_500,
    "no space": "abcdefghij" * 10_000,
    "cjk": "日本語の文書は空白がありません。" * 6_000,
    "newlines": "one\ntwo\nthree\n" * 8_000,
    "tabs": "one\ttwo\tthree\t" * 8_000,
    "nbsp": "one\u00a0two\u00a0three\u00a0" * 8_000,
    "ideographic space": "一つ\u3000二つ\u3000" * 10_000,
    "one space early": "ab " + "x" * 100_000,
    "space at the start": " " + "x" * 100_000,
    "blank": " " * 100_000 + "end",
    "blank head": "start" + "\n" * 100_000 + "end " * 1_000,
    "long words": ("supercalifragilistic" * 20 + " ") * 250,
    "accents": "é́́́ ñ ü " * 12_000,
    "special tokens": "[SEP] [MASK] [CLS] " * 6_000,
    "dropped characters": "\ufffd\x00 " * 40_000 + "end " * 1_000,
    "punctuation": "... !!! ??? " * 9_000,
}


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("max_length", [9, 512])
def test_the_head_of_a_long_document_is_enough(name: str, max_length: int) -> None:
    document = LONG[name]
    short, (long,) = "a short text", ours.encode("how many", [document], max_length)
    assert_equal(long, reference(theirs, "how many", document, max_length))
    together = ours.encode("how many", [short, document, short], max_length)
    assert [p.ids.tolist() for p in together[::2]] == [ours.encode("how many", [short], max_length)[0].ids.tolist()] * 2
    assert together[1].ids.tolist() == long.ids.tolist()


@pytest.mark.parametrize("name", ["words", "cjk", "newlines", "no space"])
@pytest.mark.parametrize("max_length", [64, 511, 512])
def test_a_long_query_is_cut_as_well(name: str, max_length: int) -> None:
    # No longer than it must be: the library keeps what it cuts of two texts, each piece of one with each of the other.
    query = LONG[name][: 40 * max_length]
    for document in ("", "a short text", LONG["words"][: 40 * max_length], "many " * max_length):
        (pair,) = ours.encode(query, [document], max_length)
        assert_equal(pair, reference(theirs, query, document, max_length))


@pytest.mark.parametrize("max_length", [64, 511, 512])
@pytest.mark.parametrize(("more", "less"), [(6, 5), (5, 6), (5, 5)])
def test_the_odd_token_goes_to_the_longer_of_two_long_texts(more: int, less: int, max_length: int) -> None:
    """Both heads are long enough to be cut, and only whole texts can tell which is longer.

    The one with fewer tokens has the longer words, so its head of as many characters has fewer tokens too.
    """
    for query_word, document_word in (("how", "understanding"), ("understanding", "how")):
        query, document = f"{query_word} " * (more * max_length), f"{document_word} " * (less * max_length)
        (pair,) = ours.encode(query, [document], max_length)
        assert_equal(pair, reference(theirs, query, document, max_length))


@pytest.mark.parametrize("name", LONG)
def test_what_one_limit_left_in_the_cache_is_right_for_another(name: str) -> None:
    """A head that was enough is too short now, or longer than it must be; 9 and 510 leave an even room, 511 an odd."""
    query, document = "how many people", LONG[name][:30_000]
    for max_length in (9, 512, 64, 511, 10, 510):
        expected = reference(theirs, query, document, max_length)
        for tokenizer in (cached, cached, evicting, evicting):
            (pair,) = tokenizer.encode(query, [document], max_length)
            assert_equal(pair, expected)


@pytest.mark.parametrize("max_length", [64, 511, 512])
@pytest.mark.parametrize(("more", "less"), [(6, 5), (5, 6), (5, 5)])
def test_a_cached_head_does_not_tell_how_long_its_text_is(more: int, less: int, max_length: int) -> None:
    query, document = "how " * (more * max_length), "understanding " * (less * max_length)
    cached.encode("a short query", [document], 512)
    for each in (document, ids_of(document)):
        (pair,) = cached.encode(query, [each], max_length)
        assert_equal(pair, reference(theirs, query, document, max_length))


def test_a_head_of_just_enough_tokens_does_not_hide_that_text_was_cut() -> None:
    document = "understanding " * 6 + "abcdefghijklmnopqrstuvwxyz"
    (pair,) = ours.encode("", [document], SPECIALS + 6)
    assert_equal(pair, reference(theirs, "", document, SPECIALS + 6))
    assert pair.truncated


@dataclass
class Counting:
    """A real tokenizer that counts the characters it is given."""

    tokenizer: Tokenizer
    characters: int = 0

    def encode(self, text: str, *, add_special_tokens: bool) -> Encoding:
        self.characters += len(text)
        return self.tokenizer.encode(text, add_special_tokens=add_special_tokens)

    def encode_batch_fast(self, texts: list[str], *, add_special_tokens: bool) -> list[Encoding]:
        self.characters += sum(map(len, texts))
        return self.tokenizer.encode_batch_fast(texts, add_special_tokens=add_special_tokens)


def test_a_megabyte_is_not_read_for_the_sake_of_500_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = PairTokenizer(REAL)
    counting = Counting(tokenizer._encoder._tokenizer)
    monkeypatch.setattr(tokenizer._encoder, "_tokenizer", counting)
    pairs = tokenizer.encode("how many", ["short", LONG["words"] * 10], 512)
    assert [pair.tokens for pair in pairs] == [SPECIALS + 3, 512]
    assert counting.characters < 10_000


def test_documents_that_were_met_are_not_encoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = PairTokenizer(REAL, 1_000_000)
    documents = ["how many people live in berlin", LONG["words"], ""]
    first = tokenizer.encode("a query", documents, 512)
    counting = Counting(tokenizer._encoder._tokenizer)
    monkeypatch.setattr(tokenizer._encoder, "_tokenizer", counting)
    again = tokenizer.encode("a query", documents[::-1], 512)
    assert counting.characters == len("a query")
    assert [pair.ids.tolist() for pair in again] == [pair.ids.tolist() for pair in first[::-1]]
    tokenizer.encode("a query", [*documents, "new"], 400)
    assert counting.characters == 2 * len("a query") + len("new")


def test_what_was_asked_of_the_cache_is_counted() -> None:
    def counted() -> list[float]:
        return [metrics.TOKEN_CACHE.labels(result).value for result in ("hit", "miss")]

    tokenizer = PairTokenizer(REAL, 1_000_000)
    before = counted()
    ours.encode("q", ["no cache, no count"], 512)
    assert counted() == before
    tokenizer.encode("q", ["one", "two"], 512)
    tokenizer.encode("q", ["two", "three", TokenIds.of([7])], 512)
    assert counted() == [before[0] + 1, before[1] + 3]


def test_ids_of_the_whole_vocabulary_are_taken() -> None:
    vocabulary = sorted(theirs.get_vocab(with_added_tokens=True).values())
    (pair,) = ours.encode("", [TokenIds.of(vocabulary)], len(vocabulary) + SPECIALS)
    assert pair.ids[2:-1].tolist() == vocabulary
    assert not pair.truncated


@pytest.mark.parametrize("wrong", [30_522, 30_523, 2**31 - 1, 2**32 - 1])
def test_ids_that_no_token_has_are_refused(wrong: int) -> None:
    """They would be an index beyond the embeddings, and fail the run or read what they must not."""
    assert max(theirs.get_vocab(with_added_tokens=True).values()) == 30_521
    with pytest.raises(InvalidRequest, match=f"the token id {wrong} is not in the model's vocabulary"):
        ours.encode("q", ["text", TokenIds.of([7, wrong, 8])], 512)


def test_ids_in_a_gap_of_the_vocabulary_are_refused(tmp_path: Path) -> None:
    library = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 2, "[unk]": 4, "how": 9}, unk_token="[unk]"))
    library.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    library.save(str(tmp_path / "tokenizer.json"))
    tokenizer = PairTokenizer(tmp_path / "tokenizer.json")
    assert tokenizer.encode("how", [TokenIds.of([9, 4])], 512)[0].ids.tolist()[-3:] == [9, 4, 2]
    with pytest.raises(InvalidRequest, match="the token id 5 is not"):
        tokenizer.encode("how", [TokenIds.of([9, 5])], 512)


def test_the_files_own_padding_is_switched_off() -> None:
    """The real file pads to 512, which would make every pair cost as much as the longest."""
    assert json.loads(REAL.read_text())["padding"] is not None
    assert ours.encode("how", ["many"], 512)[0].tokens == SPECIALS + 2


@EVERY_KIND
def test_no_documents_are_no_pairs(tokenizer: PairTokenizer) -> None:
    assert tokenizer.encode("how", [], 512) == []


@pytest.mark.parametrize("max_length", [3, 2, 0, -100])
def test_a_limit_without_room_for_text_is_refused(max_length: int) -> None:
    """It comes from outside, and a loop that looks for a head of no tokens would never end."""
    with pytest.raises(InvalidRequest, match="max_length"):
        ours.encode("how", ["many"], max_length)


def test_the_template_tells_tokenizers_apart() -> None:
    assert ours.template.specials == SPECIALS
    assert str(ours.template) == str(PairTokenizer(REAL).template)


@EVERY_KIND
def test_a_prompt_stands_before_the_query(tokenizer: PairTokenizer) -> None:
    prompted = PairTokenizer(REAL, prompt="search for: ")
    documents = ["berlin has four million inhabitants", "word " * 200]
    for limit in (24, 64):
        found = prompted.encode("how many people?", documents, limit)
        expected = tokenizer.encode("search for: how many people?", documents, limit)
        assert [pair.ids.tolist() for pair in found] == [pair.ids.tolist() for pair in expected]


def test_a_prompt_is_part_of_the_template_s_name() -> None:
    """Scores made with another prompt are others, so the cache must tell them apart."""
    names = {str(PairTokenizer(REAL, prompt=prompt).template) for prompt in ("", "query: ", "query:")}
    assert len(names) == 3
    assert str(ours.template) in names


@pytest.mark.parametrize("content", ["", "{}", '{"version": "1.0"}', "not json", "\x00" * 100, None])
def test_a_damaged_file_is_told(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ModelDamaged, match=r"tokenizer\.json is not a tokenizer"):
        PairTokenizer(path)


@EVERY_KIND
def test_threads_share_a_tokenizer(tokenizer: PairTokenizer) -> None:
    """Concurrent encodings at different limits, which a tokenizer with a truncation of its own would mix up."""
    documents = ["how many people live in berlin " * n for n in range(1, 30)]
    limits = list(range(8, 120, 7))
    alone = [[pair.ids.tolist() for pair in ours.encode("people", documents, limit)] for limit in limits]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            together = pool.map(lambda limit: tokenizer.encode("people", documents, limit), limits)
            assert [[pair.ids.tolist() for pair in pairs] for pairs in together] == alone
