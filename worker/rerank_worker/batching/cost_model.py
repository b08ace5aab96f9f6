"""Cost model: predicts the seconds that work takes, as a·runs + b·tokens + c·tokens·longest.

It learns a, b and c from finished runs by least squares on relative errors, so small and large runs count alike. Old
runs are forgotten: about the last 200 count. Parameters are never negative, and one stalled run moves them little. When
all runs become slower or faster by one factor (a busy neighbour, a hot CPU), the parameters keep their proportions.
Plain Python: numpy takes five times as long on three unknowns, and the scoring thread learns from every run.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from itertools import combinations
from statistics import median

from rerank_shared.scheduling.cost import CostParameters, Work

#: An observation has lost most of its weight after this many later ones.
_MEMORY = 200
_ERRORS_KEPT = 50
#: The speed of the host counts as changed when the median of this many recent runs is off by more than this factor.
_RECENT = 9
_CHANGED = 1.3
#: Once _ENOUGH runs were observed, a run that beats its prediction by more than _TOO_FAST counts as faster by that
#: factor. A stalled run needs no such bound: errors are relative to the measured time, so it weighs little.
_TOO_FAST = 2.0
_ENOUGH = 10
#: From then on the parameters are solved for after each so many runs: one run of hundreds moves them little.
_SOLVE_EVERY = 4
#: Keeps the system solvable when all runs are alike: the cost then falls on tokens, which grow with the text.
_RIDGE = (1e-4, 1e-7, 1e-4)
#: Adopted parameters weigh as much as this many observations, spread over runs of these lengths and pairs.
_PRIOR_WEIGHT = 5.0
_PRIOR_LENGTHS = (16, 64, 256, 512)
_PRIOR_PAIRS = (1, 8)

Vector = tuple[float, float, float]


class CostModel:
    """Learns from observed runs. One thread writes; other threads may read a slightly old value."""

    def __init__(self, prior: CostParameters | None = None) -> None:
        # Normal equations of rows work / seconds, each with the target 1.
        self._squares = [[0.0] * 3 for _ in range(3)]
        self._targets = [0.0] * 3
        self._learned: Vector | None = None
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._ratios: deque[float] = deque(maxlen=_MEMORY)
        self._errors: deque[float] = deque(maxlen=_ERRORS_KEPT)
        self._observations = 0
        self._prior: CostParameters | None = None
        if prior is not None:
            self.adopt(prior)

    def adopt(self, prior: CostParameters) -> None:
        """Weigh the parameters of another process like a few observations. Call from the writing thread."""
        works = [Work.padded(pairs, length) for pairs in _PRIOR_PAIRS for length in _PRIOR_LENGTHS]
        for work in works:
            if (seconds := prior.predict_s(work)) > 0:
                self._add(work, seconds, _PRIOR_WEIGHT / len(works))
        self._prior = prior
        self._learned = _solve(self._squares, self._targets)

    def observe(self, work: Work, seconds: float) -> float | None:
        """Learn from a run and return its error, |predicted - actual| / actual.

        Return None if there was no prediction, or if work or seconds are not positive and finite.
        """
        if not (0 < seconds < math.inf) or max(work.runs, work.tokens, work.tokens_longest) <= 0:
            return None
        error = None
        if (predicted := self.predict_s(work)) > 0:
            error = abs(predicted - seconds) / seconds
            self._note(seconds / predicted, error)
            if self._observations >= _ENOUGH:
                seconds = max(seconds, self.predict_s(work) / _TOO_FAST)
        keep = 1.0 - 1.0 / _MEMORY
        self._scale(keep, keep)
        self._add(work, seconds, 1.0)
        self._observations += 1
        if self._observations < _ENOUGH or self._observations % _SOLVE_EVERY == 0:
            self._learned = _solve(self._squares, self._targets)
        return error

    def predict_s(self, work: Work) -> float:
        """Return the expected seconds; 0.0 before the first observation or adoption."""
        if (learned := self._learned) is None:
            return 0.0
        return learned[0] * work.runs + learned[1] * work.tokens + learned[2] * work.tokens_longest

    @property
    def parameters(self) -> CostParameters | None:
        """The learned parameters; the adopted ones before the first observation, None if there are none."""
        if (learned := self._learned) is None:
            return None
        if not self._observations:
            return self._prior
        # Each copy is one step for the interpreter, so another thread can't add an observation in between.
        errors, ratios = tuple(self._errors), tuple(self._ratios)
        return CostParameters(
            *learned,
            error_ratio=median(errors) if errors else 0.0,
            p99_ratio=_p99(ratios),
            observations=self._observations,
        )

    def _note(self, ratio: float, error: float) -> None:
        """Record an error, and rescale the model when all recent runs are off by one factor."""
        self._errors.append(error)
        self._recent.append(ratio)
        if self._observations >= _ENOUGH:
            self._ratios.append(ratio)
        if len(self._recent) < _RECENT:
            return
        factor = median(self._recent)
        if not 1 / _CHANGED <= factor <= _CHANGED:
            self._recent.clear()
            self._scale(factor**-2, 1 / factor)
            self._learned = _solve(self._squares, self._targets)

    def _scale(self, squares: float, targets: float) -> None:
        self._squares = [[value * squares for value in row] for row in self._squares]
        self._targets = [value * targets for value in self._targets]

    def _add(self, work: Work, seconds: float, weight: float) -> None:
        row = (work.runs / seconds, work.tokens / seconds, work.tokens_longest / seconds)
        for i, left in enumerate(row):
            self._targets[i] += left * weight
            for j, right in enumerate(row):
                self._squares[i][j] += left * right * weight


def _p99(ratios: Sequence[float]) -> float:
    """Return the 99th percentile, at least 1; of few ratios the second largest, since a frozen process may give one."""
    if len(ratios) < 2:
        return 1.0
    return max(1.0, sorted(ratios)[min(math.ceil(0.99 * len(ratios)), len(ratios) - 1) - 1])


def _solve(squares: list[list[float]], targets: list[float]) -> Vector | None:
    """Return the non-negative parameters of least error; None before the first observation."""
    # Columns are scaled to one size: seconds a run and seconds a token·length are ten orders of magnitude apart.
    sizes = [math.sqrt(squares[i][i]) for i in range(3)]
    known = tuple(i for i in range(3) if sizes[i] > 0)
    best: dict[int, float] = {}
    most = 0.0
    # Columns are left out only if the best fit has a negative parameter.
    for count in range(len(known), 0, -1):
        for chosen in combinations(known, count):
            matrix = [
                [squares[i][j] / (sizes[i] * sizes[j]) + (_RIDGE[i] if i == j else 0.0) for j in chosen] for i in chosen
            ]
            sides = [targets[i] / sizes[i] for i in chosen]
            found = _gauss(matrix, sides)
            if min(found) < 0:
                continue
            explained = sum(value * side for value, side in zip(found, sides, strict=True))
            if explained > most:
                most, best = explained, dict(zip(chosen, found, strict=True))
        if count == len(known) and best:
            break
    if not best:
        return None
    a, b, c = (best[i] / sizes[i] if i in best else 0.0 for i in range(3))
    return a, b, c


def _gauss(matrix: list[list[float]], sides: list[float]) -> list[float]:
    """Solve a small positive definite system."""
    size = len(sides)
    rows = [[*row, side] for row, side in zip(matrix, sides, strict=True)]
    for i in range(size):
        for k in range(i + 1, size):
            factor = rows[k][i] / rows[i][i]
            for j in range(i, size + 1):
                rows[k][j] -= factor * rows[i][j]
    found = [0.0] * size
    for i in reversed(range(size)):
        found[i] = (rows[i][size] - sum(rows[i][j] * found[j] for j in range(i + 1, size))) / rows[i][i]
    return found
