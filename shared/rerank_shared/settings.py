"""All settings of the fleet: one class, read from the environment with the prefix RERANK_, and below it a profile.

Each field says its unit, why it exists and how to choose it; the README's table is made from here. A variable
with the prefix that no field reads is an error, because a setting that is silently ignored is the worst kind.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from rerank_shared.errors import ConfigurationError, UnknownSetting
from rerank_shared.models.precision import PlanName
from rerank_shared.profile import Profile, read_profile
from rerank_shared.redis.url import RedisUrl

PREFIX = "RERANK_"
#: Variables of the HTTP gateway, which has settings of its own (rerank_producer.gateway.settings).
GATEWAY_PREFIX = "RERANK_GATEWAY_"
DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
#: What sessions run on; auto: a GPU where one is there and the model's precision runs on it.
DeviceName = Literal["auto", "cpu", "cuda", "tensorrt"]
#: Written into names of keys and queues, so it must not need quoting anywhere.
NAMESPACE_PATTERN = r"^[A-Za-z0-9_.-]{1,64}$"


class Settings(BaseSettings):
    """Effective settings; build it with `load_settings()`, which turns mistakes into ConfigurationError."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", populate_by_name=True)

    redis_url: SecretStr = Field(
        SecretStr(DEFAULT_REDIS_URL),
        validation_alias=AliasChoices("RERANK_REDIS_URL", "REDIS_URL"),
        description="Redis or Valkey, 6.2 or later: queue, results and score cache. redis://, rediss:// or "
        "unix:///path, with options as in docs/redis.md. `REDIS_URL` is read when this is not set. Not a cluster: the "
        "queue needs one server.",
    )
    namespace: str = Field(
        "rerank",
        pattern=NAMESPACE_PATTERN,
        description="First part of every key. Fleets with different namespaces share a server without meeting.",
    )
    model: str = Field(
        "cross-encoder/ms-marco-MiniLM-L-12-v2",
        min_length=1,
        description="What workers serve and what a request without a model asks for: a name of the catalogue, "
        "or hf:org/name[@revision], file:/dir, package:dist/path.",
    )
    model_digest: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="Expected SHA-256 of the model file. Set it where the source is not in the catalogue and "
        "must not change unnoticed; workers refuse to start on another file.",
    )
    unsafe: bool = Field(
        False,
        description="Serve an exported model although its files differ from its manifest or it failed its quality "
        "gate. For trying one out; each start says so in the log.",
    )
    gate_min_ndcg_ratio: float = Field(
        0.99,
        ge=0.0,
        le=1.0,
        description="Quality gate: share of fp32's nDCG@10 that an exported model must keep on each collection it was "
        "measured on. Workers hold its report against their own bounds too, so they may be stricter than the export.",
    )
    gate_min_spearman: float = Field(
        0.995,
        ge=-1.0,
        le=1.0,
        description="The same for the rank correlation of its scores with those of fp32 over the frozen pair set.",
    )
    activation: Literal["sigmoid", "identity"] | None = Field(
        None,
        description="What turns a logit into relevance_score. Unset: what the model's own files say, else "
        "sigmoid. The order of results never depends on it.",
    )
    max_length: int | None = Field(
        None,
        ge=8,
        le=32_768,
        description="Tokens a pair may have before it is truncated, where the request does not say. Unset: the "
        "model's own limit. Halving it halves the time of long documents, at a cost in quality you should measure.",
    )
    max_documents: int = Field(
        10_000,
        ge=1,
        description="Documents one request may carry; more is refused. As large as your slowest patient caller.",
    )
    default_deadline_ms: int = Field(
        30_000,
        ge=1,
        description="Deadline of an interactive request that names none. Set it to what your user would wait.",
    )
    bulk_deadline_ms: int = Field(
        3_600_000,
        ge=1,
        description="The same for class bulk. As long as a backlog may take.",
    )
    cache: bool = Field(True, description="Look scores up before enqueuing and write them back. Off: each pair is run.")
    cache_ttl_s: int = Field(
        86_400,
        ge=1,
        description="Life of a cached score. Scores never go stale (the key holds model and text), so it only "
        "bounds memory: about 130 bytes a score.",
    )
    result_ttl_s: int = Field(
        600,
        ge=1,
        description="How long a result can be collected after it was written. Longer than the slowest collect().",
    )
    inline_bytes: int = Field(
        16_384,
        ge=0,
        description="Text above this size travels beside the queue under its own key, because the broker carries a "
        "message's body across the wire three times.",
    )
    redelivery_s: float = Field(
        6.0,
        ge=0.5,
        allow_inf_nan=False,
        description="Silence after which a job's worker counts as dead and another one gets the job; sooner where a "
        "supervisor saw it die. Live workers renew what they hold, so it may be shorter than a job; a few times the "
        "longest pause of a worker or of Redis, and shorter than your deadlines.",
    )
    processes: int | None = Field(
        None,
        ge=1,
        description="Worker processes of one supervisor. Unset: one for each core that affinity and cgroup allow.",
    )
    concurrency: int = Field(
        16,
        ge=1,
        le=256,
        description="Jobs one process holds at once, at most; each takes a thread. What it takes from the queue is "
        "bounded by work, not by this (lookahead_ms), so it need only be enough for many small jobs; 32 on a GPU.",
    )
    lookahead_ms: float = Field(
        100.0,
        gt=0.0,
        allow_inf_nan=False,
        description="Work that a process may have waiting before it stops taking jobs, by its predicted time, and "
        "never more than one batch. Enough that the engine does not idle while the next job comes; more only hoards "
        "what an idle process could do.",
    )
    aging_s: float = Field(
        10.0,
        gt=0.0,
        allow_inf_nan=False,
        description="Patience of the queue: work is taken most urgent first, and a job that has waited this long comes "
        "before all that is due later, whatever its deadline. Lower is fairer, higher keeps more deadlines.",
    )
    bulk_share: float = Field(
        0.05,
        ge=0.0,
        lt=1.0,
        allow_inf_nan=False,
        description="Share of the fleet's tokens that class bulk gets while interactive work waits; without any it "
        "gets all. 0: bulk may starve.",
    )
    shard: bool = Field(
        True,
        description="Clients split a request over as many processes as are idle, where it is large enough to pay. Off: "
        "one job a request.",
    )
    single_flight: bool = Field(
        False,
        description="Clients leave a pair to the request that has it in flight already, anywhere in the fleet, and "
        "wait for that one's score. Worth it where equal requests come at once; each pair costs two more keys.",
    )
    refuse: bool = Field(
        True,
        description="Refuse at once (Overloaded) what could not be answered before its deadline. Off: it waits, and "
        "runs into its deadline.",
    )
    max_deaths: int = Field(
        3,
        ge=1,
        description="Workers that may die, or fall silent, with a job in hand before it is set aside as a dead letter: "
        "its caller gets JobPoisoned, and `rerank-fleet dead list` shows it.",
    )
    budget_tokens: int = Field(
        2_048,
        ge=64,
        description="Tokens of one batch, padding counted where there is any. It bounds memory and how long an urgent "
        "job waits for the batch before it. On a GPU as large as the card is still gaining from.",
    )
    max_wait_ms: float = Field(
        0.0,
        ge=0.0,
        allow_inf_nan=False,
        description="How long an idle engine waits for company before it runs a batch below budget. 0 on CPU, where "
        "batches gain nothing; 2 to 5 on a GPU.",
    )
    token_cache_mb: int = Field(
        64,
        ge=0,
        description="Memory of each worker process for the tokens of documents it has met, which other queries ask for "
        "again; a thousand documents of 100 words take half a megabyte. 0: off.",
    )
    profile: Path | None = Field(
        None,
        description="TOML file of settings that `rerank-fleet tune` measured best for a model on a host. Variables "
        "and arguments come before what it says; workers warn if it was made for another model or CPU.",
    )
    device: DeviceName = Field(
        "auto",
        description="What models run on: cpu, cuda, tensorrt (both with onnxruntime-gpu), or auto: cuda where a GPU is "
        "there and the model's precision runs on it, else cpu. A device that is asked for by name and can't be used is "
        "an error. Several GPUs: CUDA_VISIBLE_DEVICES.",
    )
    cuda_graphs: bool = Field(
        False,
        description="Capture the work of each shape of a run as a CUDA graph and replay it, which saves the launch of "
        "its kernels; device cuda only, and not plan single. Not tried on a GPU yet: measure before you rely on it.",
    )
    plan: PlanName = Field(
        "single",
        description="How pairs share a run. single: one pair, unpadded; fastest on CPU, and a score depends on its "
        "pair alone. buckets: padded to the longest; ragged: packed, attention in padded rows; packs: packed under a "
        "block-diagonal mask; for devices where a run has a fixed cost. `rerank-fleet tune` measures which is best.",
    )
    run_pairs: int = Field(
        4,
        ge=1,
        description="Pairs of one run, at most. In plan single they share only the model's last step, and more urgent "
        "pairs come in between runs. On a GPU 32 to 256.",
    )
    run_tokens: int = Field(
        1_024,
        ge=64,
        description="Tokens of one run, at most, padding counted in plan buckets; a longer pair runs alone.",
    )
    threads: int = Field(
        1,
        ge=1,
        description="Threads of one process's engine. Two processes of one thread do 1.5 times the work of one of two; "
        "raise it only where memory allows fewer processes than cores.",
    )
    preload: bool = Field(
        True,
        description="Load the model once and fork the worker processes from that, so that they share its memory and "
        "one that crashed is back sooner. Only where two or more processes of one thread each run on the CPUs of a "
        "Linux host; elsewhere, and when off, each process loads its own.",
    )
    packed_dir: str | None = Field(
        None,
        description="Where an exported model's weights are kept in this CPU's own layout, so that all processes of the "
        "host share them; written at the first start. Unset: the user's cache directory. `off`: each process lays out "
        "its own copy.",
    )
    pin: bool = Field(True, description="Pin each worker process to its own core (Linux).")
    grace_s: float = Field(
        20.0,
        ge=0.5,
        allow_inf_nan=False,
        description="Time between SIGTERM and SIGKILL: running batches finish, waiting jobs go back. Shorter than your "
        "platform's own grace (Kubernetes: 30 s).",
    )
    metrics_port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="Port of /metrics for Prometheus, on the supervisor. 0: off.",
    )
    metrics_host: str = Field("127.0.0.1", description="Address that /metrics listens on. 0.0.0.0 in a container.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Workers' log level. INFO says nothing per request; metrics carry the rate."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where values come from, first come first served: arguments, environment, profile."""
        path = init_settings().get("profile") or env_settings().get("profile")
        values = {} if path is None else dict(read_profile(Path(path), cls.model_fields).values)
        return init_settings, env_settings, InitSettingsSource(settings_cls, values)

    @field_validator("redis_url")
    @classmethod
    def _usable(cls, url: SecretStr) -> SecretStr:
        # ConfigurationError is no ValueError: pydantic leaves its words alone, and shows no input.
        RedisUrl.parse(url.get_secret_value()).refuse_unusable_files()
        return url

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_length is not None and self.max_length > self.budget_tokens:
            raise ValueError(
                f"budget_tokens ({self.budget_tokens}) is below max_length ({self.max_length}): "
                "a pair of full length would fit in no batch"
            )
        return self


def load_settings(**overrides: Any) -> Settings:
    """Return the settings of the environment, `overrides` that are not None first.

    Raises UnknownSetting for a RERANK_ variable that no field reads, ConfigurationError for a wrong value or profile.
    """
    refuse_unknown({name: value for name, value in os.environ.items() if not name.startswith(GATEWAY_PREFIX)})
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise ConfigurationError(explain(error, PREFIX)) from None


def profile_of(settings: Settings) -> Profile | None:
    """Return the profile that the settings name, None without one. Raises ConfigurationError as when it was loaded."""
    return None if settings.profile is None else read_profile(settings.profile, Settings.model_fields)


def refuse_unknown(environ: Mapping[str, str], prefix: str = PREFIX, fields: Collection[str] | None = None) -> None:
    """Raise UnknownSetting if `environ` holds a variable with our prefix that no setting reads."""
    known = {prefix + name.upper() for name in fields or Settings.model_fields}
    for name in sorted(environ):
        if name.startswith(prefix) and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise UnknownSetting(f"{name} is no setting of Rerank Fleet.{hint} `rerank-fleet doctor` lists them all.")


def bare_environ() -> dict[str, str]:
    """Return this process's environment without any variable that a setting is read from."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX) and name != "REDIS_URL"}


def to_environ(settings: Settings) -> dict[str, str]:
    """Return the variables that make a child process load equal settings."""
    environ: dict[str, str] = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if value is not None:
            environ[PREFIX + name.upper()] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return environ


def explain(error: ValidationError, prefix: str) -> str:
    """Return what is wrong with settings in one line, by the names of their variables."""
    lines = []
    for item in error.errors(include_url=False, include_input=False):
        name = ".".join(str(part) for part in item["loc"])
        variable = name if name.upper() == name else prefix + name.upper()
        lines.append(f"{variable}: {item['msg']}" if name else str(item["msg"]))
    return "; ".join(lines)
