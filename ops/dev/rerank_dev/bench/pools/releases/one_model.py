"""What pools cost a fleet of one model: the same fleet by the code of this tree and of the commit before, in turns."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rerank_dev.bench.pools.place import Place, told
from rerank_dev.bench.pools.releases.checkout import HERE, checkout
from rerank_dev.bench.pools.releases.driven import Client
from rerank_dev.bench.pools.workers import Workers
from rerank_dev.bench.record import Figure
from rerank_shared.errors import ConfigurationError

K, IN_FLIGHT = 20, 6
#: No worse than the commit before, within noise.
THROUGHPUT, ADDED = 0.98, 1.02


@dataclass(slots=True)
class _Lane:
    """The client of one revision's fleet, and what it found, by round."""

    client: Client
    pairs_per_s: list[float] = field(default_factory=list)
    added_ms: list[float] = field(default_factory=list)

    def measure(self, place: Place, number: int) -> None:
        """Measure a round: saturated, then one request after another."""
        scale = place.scale
        saturated = self.client.send(place.queries(f"saturated {number}", scale.saturated, K), IN_FLIGHT)
        self.pairs_per_s.append(saturated.flawless().pairs_per_s)
        alone = self.client.send(place.queries(f"alone {number}", scale.sequences, 1), 1)
        self.added_ms.append(alone.flawless().added_p50_ms)


def one_model(place: Place) -> list[Figure]:
    """Return throughput and added p50 over those of the base, and both.

    Returns nothing, and says so, where the base can't be had or does not run.
    """
    try:
        base = checkout(place.base, place.kept)
        now, before = _rounds(place, base)
    except ConfigurationError as error:
        print(f"one-model: not measured, since the base does not run: {error.message}", file=sys.stderr)
        return []
    return _figures(now, before, f"one-model, {told(place.small)}", base.name.removeprefix("base-"))


def _rounds(place: Place, base: Path) -> tuple[_Lane, _Lane]:
    with ExitStack() as stack:
        lanes = []
        for name, root in (("now", HERE), ("base", base)):
            settings = place.settings(f"one-{name}", model=place.small)
            stack.enter_context(Workers(settings, place.work)).start(place.scale.processes, root)
            lanes.append(_Lane(stack.enter_context(Client(settings, root))))
        for number in range(place.scale.release_rounds):
            # Whoever is second finds the machine as the first has left it, so they take turns in that too.
            for lane in lanes if number % 2 else reversed(lanes):
                lane.measure(place, number)
        now, before = lanes
        return now, before


def _figures(now: _Lane, before: _Lane, at: str, base: str) -> list[Figure]:
    # The first round is the warm-up.
    speeds = list(zip(now.pairs_per_s, before.pairs_per_s, strict=True))[1:]
    added = list(zip(now.added_ms, before.added_ms, strict=True))[1:]
    return [
        Figure.of(f"{at}: pairs/s over {base}", [new / old for new, old in speeds], "ratio", "at least", THROUGHPUT),
        Figure.of(f"{at}: added p50, k=1, over {base}", [new / old for new, old in added], "ratio", "at most", ADDED),
        Figure.of(f"{at}: saturated, k={K}", [new for new, _ in speeds], "pairs/s"),
        Figure.of(f"{at}: saturated, k={K}, {base}", [old for _, old in speeds], "pairs/s"),
        Figure.of(f"{at}: added p50, k=1", [new for new, _ in added], "ms"),
        Figure.of(f"{at}: added p50, k=1, {base}", [old for _, old in added], "ms"),
    ]
