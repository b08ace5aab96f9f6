"""The race itself: all contenders over the same requests of one model, with the bare matrix products among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rerank_dev.bench.engine.children import Child, ContenderFailed, runner_command
from rerank_dev.bench.engine.floor import read_shape
from rerank_dev.bench.engine.lineup.contenders import Contender, headline, taking_part
from rerank_dev.bench.engine.lineup.models import BenchModel
from rerank_dev.bench.engine.place import Place
from rerank_dev.bench.engine.race import Lane, Run, best_batch_size, race
from rerank_dev.bench.engine.results import GEMM, Floor, Outcome, find_floors, floor_figures, judge, target_figures
from rerank_dev.bench.engine.texts import Lengths, Request, lengths, write_requests
from rerank_dev.bench.record import Figure
from rerank_worker.engine.kernels import Kernel

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Race:
    """All that was found out about one model.

    `kernel`: the name of the scores by the kernel that ran, None where none did; `headline`: the contender that the
    others are held against.
    """

    model: str
    label: str
    kernel: str | None
    headline: str
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
    names: Sequence[str],
    requests: Mapping[int, list[Request]],
    kernel: Kernel | None,
    say: Say,
) -> Race:
    """Race the contenders of these names over requests by k; the first of each k warms up and finds batch sizes.

    `kernel` is that of our int8-row contenders; None: they are left out. `status` is what prepare() told of their
    files. Raises ContenderFailed where there are no files at all, or where one of ours fails: others are held against
    it.
    """
    if status["hf"] is not None:
        raise ContenderFailed(status["hf"])
    variant = kernel.variant if kernel else None
    contenders, first_of_all, targets = taking_part(variant, names), headline(variant), model.goals.here(variant)
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
            outcomes += judge(lanes, contenders, k, field.batch_sizes, first_of_all)
            tokens = [sum(request.tokens) for request in group[1:]]
            floors += find_floors(lanes, k, tokens, read_shape(place.root(model) / "hf"))
            first += len(group)
        versions = field.versions
    lengths_by_k = {str(k): lengths(group[1:]) for k, group in requests.items()}
    rounds = min(len(group) - 1 for group in requests.values())
    figures = [
        *target_figures(model.name, outcomes, first_of_all, targets),
        *floor_figures(model.name, floors, first_of_all, targets),
    ]
    return Race(
        model=model.name,
        label=model.label,
        kernel=kernel.precision if kernel else None,
        headline=first_of_all,
        rounds=rounds,
        lengths=lengths_by_k,
        outcomes=outcomes,
        floors=floors,
        versions=versions,
        figures=figures,
    )


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
