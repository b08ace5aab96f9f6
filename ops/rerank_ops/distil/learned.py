"""What a distillation learns from and is checked on: lists of real and pseudo-queries, split so that nothing leaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rerank_ops.distil.apart import Question, kept_apart
from rerank_ops.distil.lists import BAND, Known, LearnedList, banded
from rerank_ops.distil.material import Material
from rerank_ops.evaluate.first_stages import Hits
from rerank_ops.evaluate.oddities import Oddities
from rerank_ops.pseudo.queries import PseudoQuery, drawn_order, pseudo_queries
from rerank_shared.errors import InputRefused

#: Fewer lists to learn from teach a student nothing that its untrained head does not know.
FEWEST_LISTS = 32
#: Fewer held-out lists can't tell a better student from a worse one.
FEWEST_HELD_OUT = 8
#: The largest share of queries that is held out.
_HELD_OUT_SHARE = 0.2
#: Returns the first stage's documents of each query by id, {query id: best first}, at most so many.
FirstStageSearch = Callable[[Mapping[str, str], int], Mapping[str, Hits]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many lists are wanted: `lists` to learn from, real queries first, and `held_out` beside them.

    Without `pseudo`, there are real queries alone.
    """

    lists: int = 1000
    held_out: int = 60
    seed: int = 0
    pseudo: bool = True


@dataclass(frozen=True, slots=True)
class Learned:
    """Lists to learn from and held-out ones; of the latter, `hits` is all that the first stage found for each."""

    training: tuple[LearnedList, ...]
    held_out: tuple[LearnedList, ...]
    hits: Mapping[str, Hits]


def learned_lists(material: Material, search: FirstStageSearch, wanted: Wanted, oddities: Oddities) -> Learned:
    """Return the lists. Raises InputRefused where there are too few of them, with what took them away."""
    texts = {name: document.whole for name, document in material.documents.items()}
    known = _real(material, oddities)
    if wanted.pseudo and (lacking := wanted.lists + wanted.held_out - len(known)) > 0:
        known |= _pseudo(material, lacking, wanted.seed)
    hits = search({name: each.query for name, each in known.items()}, BAND[1])
    lists = {name: banded(name, each, hits.get(name, ()), texts, wanted.seed) for name, each in known.items()}
    oddities.note(
        "queries for which the first stage finds too little, left out", (n for n, found in lists.items() if not found)
    )
    found = {name: each for name, each in lists.items() if each is not None}
    held, rest = _split(found, wanted)
    apart = kept_apart(
        {name: _question(material, known, name) for name in rest}, [_question(material, known, name) for name in held]
    )
    oddities.note("training queries that share a relevant document with a held-out one, left out", apart.shared)
    oddities.note("training queries nearly the same as a held-out one, left out", apart.alike)
    training = apart.kept[: wanted.lists]
    _refuse_few(len(training), len(held), oddities)
    return Learned(
        tuple(found[name] for name in training),
        tuple(found[name] for name in held),
        {name: hits[name] for name in held},
    )


def _real(material: Material, oddities: Oddities) -> dict[str, Known]:
    """Return what is known of the real queries, apart from those that will be measured on."""
    queries = material.queries
    tested = [Question(text, material.measured_on.relevant(n)) for n, text in material.measured_on.texts.items()]
    questions = {name: Question(text, queries.relevant(name)) for name, text in queries.texts.items()}
    apart = kept_apart(questions, tested)
    oddities.note("queries that share a relevant document with a test query, left out", apart.shared)
    oddities.note("queries nearly the same as a test query, left out", apart.alike)
    return {name: Known(queries.texts[name], "real", queries.qrels.get(name, {})) for name in apart.kept}


def _pseudo(material: Material, count: int, seed: int) -> dict[str, Known]:
    """Return what is known of pseudo-queries; none is made from a document that answers a query to be measured on."""
    tested = material.measured_on
    without = frozenset().union(*(tested.relevant(name) for name in tested.texts))
    made = pseudo_queries(material.documents, count, seed=seed, without=without)
    apart = kept_apart(
        {each.id: Question(each.text, frozenset()) for each in made},
        [Question(text, frozenset()) for text in tested.texts.values()],
    )
    by_id: dict[str, PseudoQuery] = {each.id: each for each in made}
    return {
        name: Known(by_id[name].text, by_id[name].kind, {}, by_id[name].source, by_id[name].passage)
        for name in apart.kept
    }


def _split(found: Mapping[str, LearnedList], wanted: Wanted) -> tuple[list[str], list[str]]:
    """Return held-out names and the others. Judged queries are held out first: they say most.

    Of the others, real queries stand first, so that a limit takes them before any pseudo-query.
    """
    order = drawn_order(iter(found), wanted.seed, "held out")
    order.sort(key=lambda name: (not found[name].judged, found[name].kind != "real"))
    count = min(wanted.held_out, int(len(found) * _HELD_OUT_SHARE))
    held = set(order[:count])
    rest = sorted((name for name in order if name not in held), key=lambda name: found[name].kind != "real")
    return [name for name in order if name in held], rest


def _question(material: Material, known: Mapping[str, Known], name: str) -> Question:
    each = known[name]
    own = material.queries.relevant(name) if each.source is None else frozenset([each.source])
    return Question(each.query, own)


def _refuse_few(training: int, held_out: int, oddities: Oddities) -> None:
    if training >= FEWEST_LISTS and held_out >= FEWEST_HELD_OUT:
        return
    odd: Sequence[str] = [str(each) for each in oddities.listed()]
    because = f" What was left out: {'; '.join(odd)}." if odd else ""
    raise InputRefused(
        f"too few queries to learn from: {training} to train on and {held_out} held out, but {FEWEST_LISTS} and "
        f"{FEWEST_HELD_OUT} are needed.{because} Give more queries or a larger corpus"
    )
