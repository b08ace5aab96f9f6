"""Validation: a decoded JSON body becomes the pydantic model of an API. Errors name fields and never quote a text.

Validation of a list of documents stops at the first wrong item: a body of millions of mistakes must not become millions
of errors.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from rerank_shared.contract.schemas import MIN_LENGTH, Text
from rerank_shared.errors import InvalidRequest


def _no_flag(value: Any) -> Any:
    """Refuse true, which Python takes for 1."""
    if isinstance(value, bool):
        raise ValueError("a whole number expected")
    return value


#: Strings only; texts elsewhere are too.
Texts = Annotated[list[Text], Field(fail_fast=True)]
TextsOrObjects = Annotated[list[Text | dict[str, Any]], Field(fail_fast=True)]
Documents = Annotated[list[Text | dict[str, Any] | None], Field(fail_fast=True)]
#: 0 means all, as clients of vLLM and its kin send it.
TopN = Annotated[int, BeforeValidator(_no_flag), Field(ge=0)]
_SHOWN_MISTAKES = 5
#: The message by prefix of pydantic's error type, for fields without a message of their own.
_EXPECTED = {
    "bool_": "true or false expected",
    "int_": "a whole number expected",
    "string_": "a text expected",
    "list_": "a list expected",
    "dict_": "an object expected",
}


class Body(BaseModel):
    """A request as an API takes it. Fields it does not know are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    #: The message for a wrong field, in place of pydantic's, which speaks of types; `name[]` is for one item of a list.
    expected: ClassVar[dict[str, str]] = {}


BodyT = TypeVar("BodyT", bound=Body)


def read(model: type[BodyT], body: Any) -> BodyT:
    """Return the body as `model`. Raises InvalidRequest that names the fields."""
    if not isinstance(body, dict):
        raise InvalidRequest("request: a JSON object expected")
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise InvalidRequest(_explain(error, _expected(model))) from None


def pair_length(*wanted: int | None) -> int | None:
    """Return the tokens that pairs are cut to: the lowest of `wanted` above 0; None where there is none."""
    limits = [limit for limit in wanted if limit is not None and limit > 0]
    return max(MIN_LENGTH, min(limits)) if limits else None


def _expected(model: type[Body]) -> dict[str, str]:
    """Return the messages of a model and of those that it is made of."""
    parts = (vars(part).get("expected", {}) for part in reversed(model.__mro__))
    return {name: hint for part in parts for name, hint in part.items()}


def _explain(error: ValidationError, expected: dict[str, str]) -> str:
    """One line a field, whatever branches of a union it failed in."""
    lines: dict[str, str] = {}
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        field, *within = item["loc"]
        name = str(field)
        index = next((part for part in within if isinstance(part, int)), None)
        hint = expected.get(name if index is None else f"{name}[]") or _hint(item["type"], item["msg"])
        if item["type"] == "missing" and not within:
            hint = f"is missing; {hint}" if name in expected else "is missing"
        if name not in lines or index is not None:
            lines[name] = f"{name}: {hint}" if index is None else f"{name}.{index}: {hint}"
    shown = list(lines.values())[:_SHOWN_MISTAKES]
    more = f" (and {len(lines) - len(shown)} more)" if len(lines) > len(shown) else ""
    return "; ".join(shown) + more


def _hint(kind: str, message: str) -> str:
    return next((hint for begin, hint in _EXPECTED.items() if kind.startswith(begin)), message)
