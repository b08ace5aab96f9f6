"""A route as a value: the models that a name stands for, each with its share, and the defaults of its requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rerank_shared.keys import JobClass

#: The most live routes of one namespace: clients read them all at once.
MAX_ROUTES = 100
MAX_NAME_CHARS = 64
MAX_MODEL_CHARS = 256
#: The most models that one list of a route names.
MAX_TARGETS = 16
MAX_ABOUT_CHARS = 500
#: Versions of a route that can be rolled back to.
KEPT_VERSIONS = 20


@dataclass(frozen=True, slots=True)
class Share:
    """A model and its weight beside the others; for a shadow, the share of requests that it scores too, 0 to 1."""

    model: str
    weight: float


@dataclass(frozen=True, slots=True)
class Stage:
    """A model that scores the best `keep` documents of the stage before; None: all of them, "auto": those that it can
    score before the deadline. The first stage scores all.
    """

    model: str
    keep: int | Literal["auto"] | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for a request that does not say itself. None: the settings say."""

    deadline_ms: float | None = None
    bulk_deadline_ms: float | None = None
    top_n: int | None = None
    max_length: int | None = None

    def deadline_of(self, job_class: JobClass) -> float | None:
        """Return the milliseconds that a request of a class waits."""
        return self.deadline_ms if job_class == "interactive" else self.bulk_deadline_ms


@dataclass(frozen=True, slots=True)
class Route:
    """A route. `version` counts its changes from 1; 0: it is not in Redis yet.

    A live model answers its share of requests. Where there are `stages`, they answer in the place of the shares. The
    models of `shadow` score their shares of requests once more, behind the callers; where there are stages, none does.
    """

    name: str
    shares: tuple[Share, ...]
    shadow: tuple[Share, ...] = ()
    stages: tuple[Stage, ...] = ()
    limits: Limits = field(default_factory=Limits)
    about: str = ""
    version: int = 0

    @property
    def models(self) -> tuple[str, ...]:
        """Every model that it names, each once."""
        return tuple(dict.fromkeys([*self._live, *(share.model for share in self.shadow)]))

    @property
    def only_shadows(self) -> tuple[str, ...]:
        """The models that score its requests once more, and answer none."""
        return tuple(share.model for share in self.shadow if share.model not in self._live)

    @property
    def _live(self) -> list[str]:
        return [share.model for share in self.shares] + [stage.model for stage in self.stages]

    @property
    def answering(self) -> tuple[str, ...]:
        """The models that answer its requests: those of the stages, or else of the shares, largest first."""
        shares = sorted(self.shares, key=lambda share: -share.weight)
        return tuple(each.model for each in self.stages or shares)

    @property
    def main(self) -> str:
        """The model of the first stage, or else the one with the largest share."""
        return self.answering[0]

    def percent(self, model: str) -> float:
        """Return the percentage of requests that a live model answers."""
        whole = sum(share.weight for share in self.shares)
        return 100 * sum(share.weight for share in self.shares if share.model == model) / whole


@dataclass(frozen=True, slots=True)
class Target:
    """The model that a request goes to, and the route that led there; None: the request named the model itself."""

    model: str
    route: Route | None = None

    @property
    def limits(self) -> Limits:
        """The route's defaults."""
        return Limits() if self.route is None else self.route.limits

    @property
    def route_name(self) -> str | None:
        """The route's name."""
        return None if self.route is None else self.route.name

    @property
    def route_version(self) -> int | None:
        """The route's version."""
        return None if self.route is None else self.route.version
