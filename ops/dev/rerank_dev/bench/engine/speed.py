"""The race itself: all contenders over the same requests of one model, with the bare matrix products among them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rerank_dev.bench.engine.children import Child, ContenderFailed, runner_command
from rerank_dev.bench.engine.compare import agreement, paired_ratios
from rerank_dev.bench.engine.contenders import HEADLINE, REFERENCE, Contender
from rerank_dev.bench.engine.floor import ModelShape, floor_s, read_shape
from rerank_dev.bench.engine.place import BenchModel, Place
from rerank_dev.bench.engine.race import Lane, Run, best_batch_size, race
from rerank_dev.bench.engine.texts import Lengths, Request, lengths, write_requests
from rerank_dev.bench.record import Figure

GEMM = "gemm"
FLOOR_SHARE = 0.6
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one contender did with requests of k pairs. `ahead`: how many times as fast the headline was, by round.

    `cpu_share` is CPU time over wall time: about 1 on one thread. Scores are held against the reference's.
    """

    contender: str
    label: str
    precision: str
    ours: bool
    k: int
    batch_size: int | None
    failure: str | None
    seconds: list[float]
    cpu_share: float | None
    ahead: list[float]
    max_difference: float | None
    spearman: float | None


@dataclass(frozen=True, slots=True)
class Floor:
    """Time of the linear layers at the rate of bare products, and what share of it the layout unpadded reached."""

    k: int
    precision: str
    rates: dict[str, float]
    seconds: list[float]
    share: list[float]


@dataclass(frozen=True, slots=True)
class Race:
    """All that was found out about one model."""

    model: str
    label: str
    rounds: int
    lengths: dict[str, Lengths]
    outcomes: list[Outcome]
    floors: list[Floor]
    versions: dict[str, str]
    figures: list[Figure]


def run_race(
    place: Place,
    model: BenchModel,
    status: Mapping[str, str | None],
    contenders: Sequence[Contender],
    requests: Mapping[int, list[Request]],
    say: Say,
) -> Race:
    """Race the contenders over requests by k; the first request of each k warms up and finds batch sizes.

    `status` is what prepare() told of their files. Raises ContenderFailed where there are no files at all, or where one
    of ours fails: others are held against it.
    """
    if status["hf"] is not None:
        raise ContenderFailed(status["hf"])
    file = place.root(model) / "requests.json"
    every = [request for group in requests.values() for request in group]
    write_requests(every, file)
    outcomes: list[Outcome] = []
    floors: list[Floor] = []
    with ExitStack() as stack:
        field = Field(place, model, file, status, stack, say)
        for contender in contenders:
            field.enter(contender)
        field.enter_products()
        first = 0
        for k, group in requests.items():
            lanes = field.race(first, len(group) - 1, f"{model.name} k={k}")
            outcomes += judge(lanes, contenders, k, field.batch_sizes)
            tokens = [sum(request.tokens) for request in group[1:]]
            floors += find_floors(lanes, k, tokens, read_shape(place.root(model) / "hf"))
            first += len(group)
        versions = field.versions
    lengths_by_k = {str(k): lengths(group[1:]) for k, group in requests.items()}
    rounds = min(len(group) - 1 for group in requests.values())
    figures = [*target_figures(model, outcomes, contenders), *floor_figures(model, floors)]
    return Race(model.name, model.label, rounds, lengths_by_k, outcomes, floors, versions, figures)


class Field:
    """The running contenders of one model."""

    def __init__(
        self,
        place: Place,
        model: BenchModel,
        requests: Path,
        status: Mapping[str, str | None],
        stack: ExitStack,
        say: Say,
    ) -> None:
        self._place, self._model, self._requests = place, model, requests
        self._status, self._stack, self._say = status, stack, say
        self._runs: dict[str, Run] = {}
        self._searches: dict[str, Sequence[int]] = {}
        self._failures: dict[str, str] = {}
        self._ours: set[str] = set()
        self.batch_sizes: dict[str, int] = {}
        self.versions: dict[str, str] = {}

    def enter(self, contender: Contender) -> None:
        """Start a contender, or note why it can't take part."""
        if contender.ours:
            self._ours.add(contender.name)
        if (reason := self._status.get(contender.files)) is not None:
            self._fail(contender.name, reason)
            return
        self._start(contender.name, contender.runner, contender.files, contender.ours, dict(contender.options))
        self._searches[contender.name] = contender.batch_sizes

    def enter_products(self) -> None:
        """Start the bare matrix products, in our environment."""
        self._ours.add(GEMM)
        self._start(GEMM, GEMM, "hf", True, {})

    def race(self, first: int, rounds: int, title: str) -> dict[str, Lane]:
        """Run requests `first + 1` to `first + rounds`; `first` itself is for warming up."""
        for name in [*self._runs]:
            self._ready(name, first)
        numbers = range(first + 1, first + 1 + rounds)
        lanes = race(self._runs, numbers, lambda number: self._say(f"{title}: round {number - first} of {rounds}"))
        for name, lane in lanes.items():
            if lane.failure is not None:
                self._fail(name, lane.failure)
        return lanes | {name: Lane(failure=reason) for name, reason in self._failures.items()}

    def _start(self, name: str, runner: str, files: str, ours: bool, options: dict[str, str]) -> None:
        directory = self._place.root(self._model) / files
        python, core = self._place.python(ours), self._place.core
        try:
            command = runner_command(python, runner, directory, self._requests, core, **options)
            child = self._stack.enter_context(Child(command, self._place.log(f"{self._model.name}-{name}")))
            ready = child.receive()
        except ContenderFailed as error:
            self._fail(name, str(error))
            return
        side = "ours" if ours else "peers"
        self.versions |= {f"{package} ({side})": found for package, found in ready["versions"].items()}
        self._runs[name] = partial(self._ask, child, name)

    def _ask(self, child: Child, name: str, number: int) -> dict[str, Any]:
        return child.ask({"run": number, "batch_size": self.batch_sizes.get(name, 0)})

    def _ready(self, name: str, request: int) -> None:
        try:
            self._runs[name](request)
            if name not in self.batch_sizes and self._searches.get(name):
                self.batch_sizes[name] = best_batch_size(partial(self._with_size, name, request), self._searches[name])
        except ContenderFailed as error:
            del self._runs[name]
            self._fail(name, str(error))

    def _fail(self, name: str, reason: str) -> None:
        """Note why a peer is out; raises ContenderFailed for one of ours."""
        if name in self._ours:
            raise ContenderFailed(f"{name}: {reason}")
        self._failures[name] = reason
        self._say(f"{name}: {reason}")

    def _with_size(self, name: str, request: int, size: int) -> float:
        self.batch_sizes[name] = size
        try:
            seconds: float = self._runs[name](request)["seconds"]
        finally:
            del self.batch_sizes[name]
        return seconds


def judge(
    lanes: Mapping[str, Lane], contenders: Sequence[Contender], k: int, batch_sizes: Mapping[str, int]
) -> list[Outcome]:
    """Turn what the lanes did into outcomes, held against the headline's time and the reference's scores."""
    headline = lanes.get(HEADLINE, Lane()).seconds
    reference = _reference(lanes, contenders)
    outcomes = []
    for contender in contenders:
        lane = lanes[contender.name]
        scores = [answer["scores"] for answer in lane.answers]
        agreed = agreement(scores, reference) if scores and reference else None
        cpu_s = sum(answer["cpu_s"] for answer in lane.answers)
        outcomes.append(
            Outcome(
                contender=contender.name,
                label=contender.label,
                precision=contender.precision,
                ours=contender.ours,
                k=k,
                batch_size=batch_sizes.get(contender.name),
                failure=lane.failure,
                seconds=lane.seconds,
                cpu_share=cpu_s / sum(lane.seconds) if lane.seconds else None,
                ahead=paired_ratios(lane.seconds, headline) if lane.seconds and headline else [],
                max_difference=agreed.max_difference if agreed else None,
                spearman=agreed.spearman if agreed else None,
            )
        )
    return outcomes


def find_floors(lanes: Mapping[str, Lane], k: int, tokens: Sequence[int], shape: ModelShape) -> list[Floor]:
    """Return the floor of each precision, round by round, and what the layout unpadded reached of it."""
    products = lanes.get(GEMM, Lane()).answers
    floors = []
    for precision in ("int8", "fp32"):
        seconds = [floor_s(n, shape, answer["rates"][precision]) for n, answer in zip(tokens, products, strict=False)]
        engine = lanes.get(f"ours-{precision}-unpadded", Lane()).seconds
        share = paired_ratios(seconds, engine) if seconds and engine else []
        floors.append(Floor(k, precision, _best_rates(products, precision), seconds, share))
    return floors


def target_figures(model: BenchModel, outcomes: Sequence[Outcome], contenders: Sequence[Contender]) -> list[Figure]:
    """Return how far ahead the headline is of those it has a target against."""
    limits = {contender.name: contender.at_least for contender in contenders}
    figures = []
    for outcome in outcomes:
        limit = limits[outcome.contender]
        if limit is not None and outcome.ahead:
            name = f"{model.name}, k={outcome.k}: our int8 over {outcome.label} ({outcome.precision})"
            figures.append(Figure.of(name, outcome.ahead, "x", "at least", limit))
    return figures


def floor_figures(model: BenchModel, floors: Sequence[Floor]) -> list[Figure]:
    """Return the shares of the floor that were reached; only int8 has a target."""
    figures = []
    for floor in floors:
        name = f"{model.name}, k={floor.k}: share of the {floor.precision} product floor"
        if floor.share and floor.precision == "int8":
            figures.append(Figure.of(name, floor.share, "", "at least", FLOOR_SHARE))
        elif floor.share:
            figures.append(Figure.of(name, floor.share, ""))
    return figures


def _reference(lanes: Mapping[str, Lane], contenders: Sequence[Contender]) -> list[list[float]]:
    """Return the scores that count as right: sentence-transformers', or without it those of any in fp32."""
    fp32 = [contender.name for contender in contenders if contender.precision == "fp32"]
    for name in (REFERENCE, *fp32):
        if answers := lanes.get(name, Lane()).answers:
            return [answer["scores"] for answer in answers]
    return []


def _best_rates(products: Sequence[dict[str, Any]], precision: str) -> dict[str, float]:
    """Return the median over the rounds of each shape's best rate."""
    rounds = [answer["rates"][precision] for answer in products]
    shapes = rounds[0] if rounds else {}
    return {shape: statistics.median(max(rates[shape].values()) for rates in rounds) for shape in shapes}
