"""Training loop: steps over lists, checks on held-out ones, checkpoints, and the best student at the end.

A training that was killed goes on from its checkpoint, and ends with the same weights as one that was not, on the same
machine and threads: the order of lists follows from the seed, and the learning rate from the step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rerank_ops.distil.lists import LearnedList
from rerank_ops.distil.recipe import Recipe
from rerank_ops.distil.training.batches import EncodedList
from rerank_ops.distil.training.checkpoints import Check, State, load_state, save_state
from rerank_ops.distil.training.losses import LOSSES, label_loss
from rerank_ops.distil.training.student import Student
from rerank_ops.export.depth.following import correlation
from rerank_ops.judging.measures import ndcg_by_question
from rerank_ops.pseudo.queries import drawn_order
from rerank_shared.errors import ConfigurationError

Floats = npt.NDArray[np.float32]
#: Judged held-out lists from which their nDCG counts in the choice of the best student.
FEWEST_JUDGED = 20
CHECKPOINT_S = 60.0
#: Called with the step, all steps, the loss of the step, and the check that was made behind it, if any.
Tell = Callable[[int, int, float, Check | None], object]


@dataclass(frozen=True, slots=True)
class Taught:
    """Lists with what the student is to say of them: pairs as ids, and the target of each, [candidates]."""

    lists: tuple[LearnedList, ...]
    encoded: tuple[EncodedList, ...]
    targets: tuple[Floats, ...]

    @property
    def judged(self) -> list[int]:
        """The places of judged lists."""
        return [place for place, each in enumerate(self.lists) if each.judged]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a training went: its checks, the first before any step, and the one whose weights the student has."""

    checks: tuple[Check, ...]
    best: Check
    steps: int
    planned: int
    seconds: float

    @property
    def learned(self) -> bool:
        """Whether training made it better than its head alone did."""
        return self.best.step > 0


@dataclass(slots=True)
class Training:
    """One training. `steps` of the recipe on `training`; `clock` returns seconds, for checkpoints."""

    student: Student
    recipe: Recipe
    training: Taught
    held_out: Taught
    steps: int
    checkpoint: Path
    tell: Tell = lambda step, steps, loss, check: None
    clock: Callable[[], float] = time.monotonic
    checkpoint_s: float = CHECKPOINT_S

    def run(self) -> Outcome:
        """Train, from the checkpoint if there is one; the student then has the best weights.

        Raises ConfigurationError where the loss is no finite number, OSError where a checkpoint can't be written.
        """
        optimiser = self._optimiser()
        state = self._resumed(optimiser) or self._begun(optimiser)
        started, saved = self.clock() - state.seconds, self.clock()
        order = self._order()
        while state.step < self.steps and not self._settled(state):
            loss = self._step(optimiser, state.step, order)
            state.step += 1
            state.losses.append(loss)
            check = self._checked(state) if self._due(state.step) else None
            state.seconds = self.clock() - started
            self.tell(state.step, self.steps, loss, check)
            if self.clock() - saved >= self.checkpoint_s:
                self._save(state, optimiser)
                saved = self.clock()
        self._save(state, optimiser)
        self.student.load(state.best)
        best = max(state.checks, key=lambda each: each.value)
        return Outcome(tuple(state.checks), best, state.step, self.steps, state.seconds)

    def _begun(self, optimiser: Any) -> State:
        torch.manual_seed(self.recipe.seed)
        state = State(0, {}, {}, self.student.copied())
        state.checks.append(self._check(0, None))
        self._save(state, optimiser)
        return state

    def _resumed(self, optimiser: Any) -> State | None:
        state = load_state(self.checkpoint)
        if state is not None:
            self.student.load(state.parameters)
            optimiser.load_state_dict(state.optimiser)
            torch.set_rng_state(state.random)
        return state

    def _save(self, state: State, optimiser: Any) -> None:
        state.parameters, state.optimiser = self.student.copied(), optimiser.state_dict()
        state.random = torch.get_rng_state()
        save_state(self.checkpoint, state)

    def _optimiser(self) -> Any:
        recipe = self.recipe
        return torch.optim.AdamW(
            self.student.trained().values(), recipe.learning_rate, recipe.betas, weight_decay=recipe.weight_decay
        )

    def _order(self) -> list[int]:
        """Return the places of the lists in the order in which steps take them, over all epochs."""
        places = {each.id: place for place, each in enumerate(self.training.lists)}
        return [
            places[name]
            for epoch in range(self.recipe.epochs)
            for name in drawn_order(iter(places), self.recipe.seed, f"{epoch}")
        ]

    def _step(self, optimiser: Any, step: int, order: Sequence[int]) -> float:
        for group in optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate * self.recipe.rate_at(step, self.steps)
        size = self.recipe.lists_a_step
        loss = self._loss(order[step * size : (step + 1) * size])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.student.trained().values(), self.recipe.clip)
        value = float(loss.detach())
        if not (math.isfinite(value) and math.isfinite(float(norm))):
            raise ConfigurationError(
                f"the training diverged: at step {step + 1} of {self.steps} the loss is {value:g} and its gradient "
                f"{float(norm):g}. Repeat it with a lower learning rate: --lr {self.recipe.learning_rate / 3:.1g}"
            )
        optimiser.step()
        return value

    def _loss(self, places: Sequence[int]) -> Any:
        """Return the mean loss of some lists."""
        taught, recipe = self.training, self.recipe
        batch = self.student.batch([taught.encoded[place] for place in places])
        losses = []
        for place, logits in zip(places, torch.split(self.student.logits(batch), batch.sizes), strict=True):
            targets = torch.from_numpy(taught.targets[place]).to(logits.device)
            loss = LOSSES[recipe.loss](logits, targets)
            if recipe.label_weight and taught.lists[place].judged:
                grades = [float(max(each.grade or 0, 0)) for each in taught.lists[place].candidates]
                loss = loss + recipe.label_weight * label_loss(logits, torch.tensor(grades, device=logits.device))
            losses.append(loss)
        return torch.stack(losses).mean()

    def _due(self, step: int) -> bool:
        return step == self.steps or step % self.recipe.check_every(self.steps) == 0

    def _checked(self, state: State) -> Check:
        """Check the student, and keep its weights if it is the best so far."""
        check = self._check(state.step, float(np.mean(state.losses)))
        if check.value > max(each.value for each in state.checks):
            state.best = self.student.copied()
        state.checks.append(check)
        state.losses.clear()
        return check

    def _check(self, step: int, loss: float | None) -> Check:
        scores = self.student.scores(self.held_out.encoded)
        judged = self.held_out.judged
        ndcg = self._ndcg(scores) if len(judged) >= FEWEST_JUDGED else None
        return Check(step, correlation(scores, self.held_out.targets), ndcg, loss)

    def _ndcg(self, scores: Sequence[Floats]) -> float:
        run: dict[str, list[str]] = {}
        qrels: dict[str, dict[str, int]] = {}
        for place in self.held_out.judged:
            each = self.held_out.lists[place]
            best = np.argsort(-scores[place], kind="stable")
            run[each.id] = [each.candidates[index].id for index in best]
            qrels[each.id] = {found.id: found.grade for found in each.candidates if found.grade is not None}
        return float(np.mean(list(ndcg_by_question(run, qrels).values())))

    def _settled(self, state: State) -> bool:
        """Return whether checks have not become better for as long as the recipe waits.

        The first one, of the head alone, does not count: the first steps spoil what was fitted before others mend it.
        """
        values = [each.value for each in state.checks[1:]]
        return bool(values) and len(values) - 1 - int(np.argmax(values)) >= self.recipe.patience


def seconds_a_step(student: Student, taught: Taught, recipe: Recipe, trials: int = 3) -> float:
    """Return the time of a step on this machine, by a short trial; the student is of no use for training afterwards."""
    tried = Training(student, recipe, taught, taught, trials + 1, Path())
    optimiser = tried._optimiser()
    order = list(range(min(len(taught.lists), (trials + 1) * recipe.lists_a_step))) * (trials + 1)
    times: list[float] = []
    for step in range(trials + 1):
        started = time.perf_counter()
        tried._step(optimiser, step, order)
        times.append(time.perf_counter() - started)
    # The first step makes room for everything that the others find made.
    return float(np.median(times[1:]))
