"""Who runs when: round by round, each contender once a round, one at a time; a contender that fails drops out."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rerank_dev.bench.engine.children import ContenderFailed

#: Runs the request of a round and answers with what it took and the scores.
Run = Callable[[int], dict[str, Any]]
_TRIES = 3


@dataclass(slots=True)
class Lane:
    """What one contender did, a round an entry; `failure` says why it has none or too few."""

    answers: list[dict[str, Any]] = field(default_factory=list)
    failure: str | None = None

    @property
    def seconds(self) -> list[float]:
        """The time of each round."""
        return [answer["seconds"] for answer in self.answers]


def race(
    runs: Mapping[str, Run], rounds: Sequence[int], on_round: Callable[[int], None] | None = None
) -> dict[str, Lane]:
    """Run the request of each round through all contenders before the next; neighbours' noise so hits all alike."""
    lanes = {name: Lane() for name in runs}
    for number in rounds:
        for name, run in runs.items():
            if lanes[name].failure is None:
                try:
                    lanes[name].answers.append(run(number))
                except ContenderFailed as error:
                    lanes[name] = Lane(failure=str(error))
        if on_round is not None:
            on_round(number)
    return lanes


def best_batch_size(seconds: Callable[[int], float], sizes: Sequence[int]) -> int:
    """Return the batch size with the smallest median of _TRIES runs, the sizes in turns."""
    times: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(_TRIES):
        for size in sizes:
            times[size].append(seconds(size))
    return min(sizes, key=lambda size: statistics.median(times[size]))
