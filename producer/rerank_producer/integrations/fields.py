"""Options that all adapters share, as pydantic fields: where the fleet is, and what is asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    model_validator,
)

from rerank_shared.contract.schemas import MIN_LENGTH, Name
from rerank_shared.errors import ConfigurationError, UnknownSetting
from rerank_shared.keys import FirstStageOrder, FusionMethod
from rerank_shared.nearest import did_you_mean


class RequestFields(BaseModel):
    """Options of an adapter. All other settings come from the environment (RERANK_REDIS_URL and the others).

    A misspelt option is UnknownSetting, a wrong value ConfigurationError. Neither says the value.
    """

    # An infinite weight would be null in JSON by default, and read as none given.
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, ser_json_inf_nan="constants")

    redis_url: SecretStr | None = Field(None, exclude=True, repr=False)
    namespace: str | None = None
    tenant: str = ""
    model: str | None = None
    max_length: int | None = Field(None, ge=MIN_LENGTH)
    fusion: FusionMethod | None = None
    fusion_weight: float | None = Field(None, ge=0)
    fusion_ratio: float | None = Field(None, gt=0, allow_inf_nan=False)
    first_stage: Name = ""
    first_stage_order: FirstStageOrder = "descending"

    @model_validator(mode="wrap")
    @classmethod
    def _mistakes_told(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(given)
        except ValidationError as error:
            raise _mistakes(error, cls) from None

    def model_post_init(self, context: Any, /) -> None:
        """Raise ConfigurationError where options contradict each other."""
        super().model_post_init(context)
        if self.fusion is None and (self.fusion_weight, self.fusion_ratio) != (None, None):
            raise ConfigurationError(
                "fusion_weight and fusion_ratio count with fusion only: say which, or leave them out"
            )

    @property
    def _url(self) -> str | None:
        return None if self.redis_url is None else self.redis_url.get_secret_value()

    @property
    def _fuses(self) -> bool:
        return self.fusion not in (None, "none")

    def _asked(self) -> dict[str, Any]:
        """Return the options of a request; those of fusion only where it is asked for."""
        asked = {"tenant": self.tenant, "model": self.model, "max_length": self.max_length}
        if not self._fuses:
            return asked
        return asked | {
            "fusion": self.fusion,
            "fusion_weight": self.fusion_weight,
            "fusion_ratio": self.fusion_ratio,
            "first_stage": self.first_stage,
            "first_stage_order": self.first_stage_order,
        }


def known_scores(scores: Sequence[Any]) -> list[Any]:
    """Return first-stage scores with None in place of NaN: cosine similarity, for one, is NaN of a vector of zeros.

    Infinite scores and what is no number stay as they are: the client refuses them, and says which document has one.
    """
    return [None if isinstance(score, Real) and score != score else score for score in scores]


def _mistakes(error: ValidationError, options: type[BaseModel]) -> ConfigurationError:
    """Return the mistakes in an adapter's options as one error of one line, which shows no value."""
    lines: list[str] = []
    kind = ConfigurationError
    for item in error.errors(include_url=False, include_input=False):
        name = ".".join(map(str, item["loc"]))
        if item["type"] == "extra_forbidden":
            kind = UnknownSetting
            lines.append(f"{name} is no option of {options.__name__}{did_you_mean(name, options.model_fields)}")
        else:
            lines.append(f"{name}: {item['msg']}" if name else item["msg"])
    return kind("; ".join(lines))
