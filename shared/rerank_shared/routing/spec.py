"""Routes as people write them: in fleet.toml, on the command line and in Redis, as the same fields everywhere."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, ValidationError
from pydantic_core import PydanticCustomError

from rerank_shared.errors import ConfigurationError
from rerank_shared.model_names import name_of
from rerank_shared.nearest import did_you_mean
from rerank_shared.routing.route import (
    MAX_ABOUT_CHARS,
    MAX_MODEL_CHARS,
    MAX_NAME_CHARS,
    MAX_TARGETS,
    Limits,
    Route,
    Share,
    Stage,
)

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_./@-]{{0,{MAX_NAME_CHARS - 1}}}")
_SHOWN_CHARS = 80
_STAGES_EXAMPLE = '[{"model": "small"}, {"model": "big", "keep": 20}]'


def _model(name: str) -> str:
    if name != name.strip() or not name.isprintable():
        raise ValueError("a model's name expected, without blanks around it")
    return name_of(name)


ModelName = Annotated[str, Strict(), Field(min_length=1, max_length=MAX_MODEL_CHARS), AfterValidator(_model)]
Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, le=1)]


def _keep(value: Any) -> Any:
    if value is None or value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise PydanticCustomError("keep", "a whole number of at least 1, or 'auto', expected")


class StageSpec(BaseModel):
    """A stage: its model, and how many of the best documents of the stage before it scores. None: all of them; "auto":
    as many as it can score before the deadline.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: ModelName
    keep: Annotated[Annotated[int, Field(ge=1)] | Literal["auto"] | None, BeforeValidator(_keep)] = None

    def stage(self) -> Stage:
        """Return the stage of these fields."""
        return Stage(self.model, self.keep)


def _listed(value: Any) -> Any:
    stages = None if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable) else list(value)
    if stages is None or not all(isinstance(stage, Mapping | StageSpec) for stage in stages):
        raise PydanticCustomError("stages", f"a list of stages expected, such as {_STAGES_EXAMPLE}")
    return stages


def _first_scores_all(stages: list[StageSpec]) -> list[StageSpec]:
    if stages and stages[0].keep is not None:
        raise PydanticCustomError("stages", "the first stage scores all documents; give `keep` to a later one")
    return stages


StageSpecs = Annotated[
    list[StageSpec], Field(max_length=MAX_TARGETS), BeforeValidator(_listed), AfterValidator(_first_scores_all)
]


def _some(stages: list[StageSpec]) -> list[StageSpec]:
    if not stages:
        raise PydanticCustomError("stages", f"an empty list; give stages, such as {_STAGES_EXAMPLE}, or no list")
    return stages


#: Those of a request, where an empty list is a mistake. A route may have an empty one, which is none.
RequestStages = Annotated[StageSpecs, Field(json_schema_extra={"minItems": 1}), AfterValidator(_some)]


class LimitsSpec(BaseModel):
    """Defaults of the requests that come by a route."""

    model_config = ConfigDict(extra="forbid")

    deadline_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    bulk_deadline_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    top_n: Annotated[int, Field(ge=1)] | None = None
    max_length: Annotated[int, Field(ge=8)] | None = None


class RouteSpec(BaseModel):
    """A route without its name. `shares` are weights by model; `shadow` are shares of all requests, 0 to 1."""

    model_config = ConfigDict(extra="forbid")

    shares: Annotated[dict[ModelName, Weight], Field(min_length=1, max_length=MAX_TARGETS)]
    shadow: Annotated[dict[ModelName, Rate], Field(max_length=MAX_TARGETS)] = Field(default_factory=dict)
    stages: StageSpecs = Field(default_factory=list)
    limits: LimitsSpec = Field(default_factory=LimitsSpec)
    about: Annotated[str, Strict(), Field(max_length=MAX_ABOUT_CHARS)] = ""

    @classmethod
    def of(cls, route: Route) -> Self:
        """Return the fields of a route."""
        return cls(
            shares={share.model: share.weight for share in route.shares},
            shadow={share.model: share.weight for share in route.shadow},
            stages=[StageSpec(model=stage.model, keep=stage.keep) for stage in route.stages],
            limits=LimitsSpec(**{name: getattr(route.limits, name) for name in LimitsSpec.model_fields}),
            about=route.about,
        )

    def route(self, name: str, version: int = 0) -> Route:
        """Return the route of these fields."""
        return Route(
            name=name,
            shares=tuple(Share(model, weight) for model, weight in self.shares.items()),
            shadow=tuple(Share(model, rate) for model, rate in self.shadow.items()),
            stages=tuple(stage.stage() for stage in self.stages),
            limits=Limits(**self.limits.model_dump()),
            about=self.about,
            version=version,
        )


class StoredSpec(RouteSpec):
    """The fields as they lie in Redis, where a newer release may have written more of them."""

    model_config = ConfigDict(extra="ignore")


def plain(route: Route) -> dict[str, Any]:
    """Return the fields of a route that have a value, as TOML and JSON have them."""
    fields = RouteSpec.of(route).model_dump(exclude_none=True)
    return {name: value for name, value in fields.items() if value}


def to_text(route: Route) -> str:
    """Return the fields of a route as JSON."""
    return json.dumps(plain(route), ensure_ascii=False)


def digest_of(route: Route) -> str:
    """Return a digest of what a route says, whatever the order in which it was written."""
    text = json.dumps(plain(route), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def read_route(name: str, fields: Any, others: Collection[str] = ()) -> Route:
    """Return the route of a table of fields; `others` are the names of the other routes.

    Raises ConfigurationError that names every mistake.
    """
    found = name_mistakes(name)
    if not isinstance(fields, Mapping):
        raise ConfigurationError("; ".join([*found, "a table of fields expected, such as shares"]))
    try:
        route = RouteSpec.model_validate(dict(fields)).route(name)
    except ValidationError as error:
        raise ConfigurationError("; ".join([*found, *_explained(error)])) from None
    found += target_mistakes(route, others)
    if found:
        raise ConfigurationError("; ".join(found))
    return route


def name_mistakes(name: str) -> list[str]:
    """Return what is wrong with the name of a route."""
    if len(name) > MAX_NAME_CHARS:
        return [f"the name {_shown(name)} has {len(name)} characters, and {MAX_NAME_CHARS} are the limit"]
    if not _NAME.fullmatch(name):
        return [f"the name {_shown(name)} needs a letter or digit first; then _ . / @ - may follow too"]
    return []


def target_mistakes(route: Route, others: Collection[str]) -> list[str]:
    """Return a mistake for each target that is a route, since a route names models only."""
    found = [f"{_shown(name)} is the route itself; name a model" for name in route.models if name == route.name]
    return found + [f"{_shown(name)} is a route too; name a model" for name in route.models if name in others]


def read_shares(words: Iterable[str], field: Literal["shares", "shadow"] = "shares") -> dict[str, Any]:
    """Return the shares of words such as `minilm=95`. Raises ConfigurationError that names every mistake."""
    expected = (
        "MODEL=WEIGHT expected, such as minilm=95" if field == "shares" else "MODEL=SHARE expected, such as v2=0.05"
    )
    shares: dict[str, Any] = {}
    mistakes = []
    for word in words:
        model, equals, weight = word.rpartition("=")
        name = name_of(model)
        if not (equals and model):
            mistakes.append(f"{_shown(word)}: {expected}")
        elif name in shares:
            mistakes.append(f"{field}.{name}: named twice")
        else:
            shares[name] = weight
    if mistakes:
        raise ConfigurationError("; ".join(mistakes))
    return shares


def _explained(error: ValidationError) -> list[str]:
    """Return one line a mistake, without the branches of unions."""
    lines: dict[str, str] = {}
    for item in error.errors(include_url=False, include_input=False):
        path = [str(part) for part in item["loc"] if part != "[key]"]
        where, said = ".".join(path)[:_SHOWN_CHARS], item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            beside = _FIELDS.get(path[0] if path[1:] else "", ())
            said = f"no such field{did_you_mean(path[-1], beside)}"
        elif item["type"] == "too_short" and path == ["shares"]:
            said = "one model at least expected"
        lines.setdefault(where, said)
    return [f"{where}: {said}" for where, said in lines.items()]


#: The fields of a route, and of the tables in it.
_FIELDS = {"": RouteSpec.model_fields, "limits": LimitsSpec.model_fields, "stages": StageSpec.model_fields}


def _shown(name: str) -> str:
    return repr(name if len(name) <= _SHOWN_CHARS else f"{name[:_SHOWN_CHARS]}…")
