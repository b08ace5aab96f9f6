"""The routes of a fleet as JSON, for the live view and the page: shares, and the rollout that moves them. Pure."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from rerank_producer.routed.figures import Figures
from rerank_producer.routed.step import StepFigures
from rerank_shared.routing.rollout import Record, State
from rerank_shared.watch.routes import WatchedRoute


class RouteTargetView(BaseModel):
    """A model that a route leads to."""

    model: str
    percent: float = Field(description="Of the route's requests; 100 for each stage.")
    keep: int | Literal["auto"] | None = Field(None, description="Of a stage: documents of the one before; null: all.")


class RolloutModelView(BaseModel):
    """What one model did in a step of a rollout."""

    requests: int = Field(description="Requests that ended.")
    failed: int
    failed_share: float = Field(description="0 to 1.")


class RolloutStepView(BaseModel):
    """The figures of the step that is in force, by which the rollout is judged."""

    new: RolloutModelView
    old: RolloutModelView
    p95_ratio: float | None = Field(
        description="95th percentile of the new model over the old one's, the largest of all k classes; null while "
        "either has too few requests."
    )


class RolloutBoundsView(BaseModel):
    """How much worse the new model may be."""

    failed_share: float = Field(description="So much more than the old model's.")
    p95_ratio: float
    drift: float | None


class RolloutView(BaseModel):
    """The last rollout of a route, until somebody else changes that."""

    state: State
    new: str
    old: str
    step: int = Field(description="The step that is in force, from 1; 0 before the first.")
    steps: list[float] = Field(description="The percentages of the plan.")
    held_s: float | None = Field(description="Seconds since the step began; null where none is held.")
    hold_s: float = Field(description="Seconds that a step is held at least.")
    led: bool = Field(description="Whether a command leads it now.")
    reason: str = Field(description="Why it ended other than done.")
    figures: RolloutStepView | None = Field(description="null once it has ended.")
    drift: float | None = Field(description="Mean difference of scores; null where it is not judged.")
    bounds: RolloutBoundsView


class LiveRouteView(BaseModel):
    """A route."""

    name: str
    version: int
    about: str
    targets: list[RouteTargetView] = Field(description="The largest share first, or the stages in their order.")
    staged: bool = Field(description="Whether the targets are stages, one after another.")
    rollout: RolloutView | None


def route_view(watched: WatchedRoute, figures: StepFigures | None, now: float) -> LiveRouteView:
    """Return the view of a route at `now`, epoch seconds of the server; `figures` are of its rollout's step."""
    route = watched.route
    if route.stages:
        targets = [RouteTargetView(model=each.model, percent=100.0, keep=each.keep) for each in route.stages]
    else:
        targets = [RouteTargetView(model=model, percent=route.percent(model)) for model in route.answering]
    return LiveRouteView(
        name=route.name,
        version=route.version,
        about=route.about,
        targets=targets,
        staged=bool(route.stages),
        rollout=None if watched.rollout is None else _rollout(watched.rollout, figures, now, watched.led),
    )


def _rollout(record: Record, figures: StepFigures | None, now: float, led: bool) -> RolloutView:
    bounds = record.plan.bounds
    return RolloutView(
        state=record.state,
        new=record.new,
        old=record.old,
        step=record.step + 1,
        steps=list(record.plan.steps),
        held_s=max(0.0, now - record.held_since) if record.state == "holding" else None,
        hold_s=record.plan.hold_s,
        led=led,
        reason=record.reason,
        figures=None if figures is None else _step(figures),
        drift=None if record.drift is None else record.drift.mean,
        bounds=RolloutBoundsView(failed_share=bounds.error_share, p95_ratio=bounds.p95_ratio, drift=bounds.drift),
    )


def _step(figures: StepFigures) -> RolloutStepView:
    slowest = figures.slowest
    p95_ratio = None if slowest is None else slowest.ratio
    return RolloutStepView(new=_model(figures.new), old=_model(figures.old), p95_ratio=p95_ratio)


def _model(figures: Figures) -> RolloutModelView:
    return RolloutModelView(requests=figures.requests, failed=figures.failed, failed_share=figures.error_share)
