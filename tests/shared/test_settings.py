"""Settings: each one reachable from the environment, mistakes named, secrets hidden."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from rerank_producer import AsyncRerankClient, RerankClient
from rerank_shared.errors import ConfigurationError, UnknownSetting
from rerank_shared.redis.connections import masked_url
from rerank_shared.settings import (
    DEFAULT_REDIS_URL,
    GROUPS,
    PREFIX,
    Settings,
    SettingsGroup,
    TunedSettings,
    load_settings,
    refuse_unknown,
    to_environ,
)

EMPTY_PROFILE = Path(__file__).with_name("empty_profile.toml")
#: A value of each setting that is not its default, as written in the environment and as read.
OTHER: dict[str, tuple[str, Any]] = {
    "redis_url": ("redis://:pa55word@db:6380/2", SecretStr("redis://:pa55word@db:6380/2")),
    "namespace": ("search.eu-1", "search.eu-1"),
    "model": ("hf:org/name@main", "hf:org/name@main"),
    "models": ("hf:org/name, file:/dir", ("hf:org/name", "file:/dir")),
    "fleet_file": ("/srv/fleet.toml", Path("/srv/fleet.toml")),
    "model_digest": ("ab" * 32, "ab" * 32),
    "unsafe": ("true", True),
    "gate_min_ndcg_ratio": ("0.5", 0.5),
    "gate_min_spearman": ("-0.5", -0.5),
    "activation": ("identity", "identity"),
    "max_length": ("256", 256),
    "max_documents": ("7", 7),
    "default_deadline_ms": ("250", 250),
    "bulk_deadline_ms": ("1", 1),
    "cache": ("false", False),
    "cache_ttl_s": ("60", 60),
    "result_ttl_s": ("61", 61),
    "inline_bytes": ("0", 0),
    "redelivery_s": ("2.5", 2.5),
    "processes": ("3", 3),
    "concurrency": ("9", 9),
    "lookahead_ms": ("50", 50.0),
    "aging_s": ("2.5", 2.5),
    "bulk_share": ("0.5", 0.5),
    "shard": ("false", False),
    "single_flight": ("true", True),
    "failover_s": ("2.5", 2.5),
    "shadow_deadline_ms": ("2500", 2500),
    "shadow_texts": ("true", True),
    "trace_content": ("true", True),
    "feedback_texts": ("true", True),
    "feedback_keep_days": ("0.5", 0.5),
    "feedback_max_records": ("10", 10),
    "feedback_max_mib": ("0.5", 0.5),
    "feedback_swap_share": ("0.01", 0.01),
    "fusion": ("weighted", "weighted"),
    "fusion_weight": ("0.5", 0.5),
    "refuse": ("false", False),
    "max_deaths": ("1", 1),
    "budget_tokens": ("4096", 4096),
    "max_wait_ms": ("2.5", 2.5),
    "token_cache_mb": ("0", 0),
    "model_memory_mb": ("500", 500),
    "profile": (str(EMPTY_PROFILE), EMPTY_PROFILE),
    "device": ("cuda", "cuda"),
    "cuda_graphs": ("true", True),
    "layout": ("packed", "packed"),
    "run_pairs": ("32", 32),
    "run_tokens": ("8192", 8192),
    "threads": ("2", 2),
    "preload": ("false", False),
    "kernel": ("avx2", "avx2"),
    "packed_dir": ("off", "off"),
    "pin": ("0", False),
    "grace_s": ("0.5", 0.5),
    "metrics_port": ("9100", 9100),
    "metrics_host": ("0.0.0.0", "0.0.0.0"),
    "log_level": ("DEBUG", "DEBUG"),
    "min_processes": ("0", 0),
    "max_processes": ("8", 8),
    "target_backlog_s": ("0.5", 0.5),
    "bulk_target_backlog_s": ("5", 5.0),
    "cooldown_s": ("60", 60.0),
}
#: A wrong value of each setting that has wrong ones.
WRONG = {
    "namespace": ["a*", "a:b", "", "a\n", "x" * 65],
    "model": [""],
    "models": ["a,b,a"],
    "model_digest": ["abc", "G" * 64, "AB" * 32],
    "unsafe": ["perhaps"],
    "device": ["gpu", "CUDA", ""],
    "cuda_graphs": ["perhaps"],
    "kernel": ["neon", "AUTO", ""],
    "gate_min_ndcg_ratio": ["-0.1", "1.1", "nan"],
    "gate_min_spearman": ["-1.1", "1.1", "nan"],
    "activation": ["relu"],
    "max_length": ["7", "32769", "many", ""],
    "max_documents": ["0", "1.5"],
    "default_deadline_ms": ["0"],
    "bulk_deadline_ms": ["-1"],
    "cache": ["maybe"],
    "cache_ttl_s": ["0"],
    "result_ttl_s": ["0"],
    "inline_bytes": ["-1"],
    "redelivery_s": ["0.4", "nan", "inf"],
    "processes": ["0"],
    "concurrency": ["0", "257"],
    "lookahead_ms": ["0", "nan", "inf"],
    "model_memory_mb": ["0", "1.5"],
    "aging_s": ["0", "inf"],
    "bulk_share": ["-0.1", "1.0", "nan"],
    "shard": ["perhaps"],
    "single_flight": ["perhaps"],
    "failover_s": ["-1", "nan", "inf"],
    "shadow_deadline_ms": ["0", "soon"],
    "shadow_texts": ["perhaps"],
    "trace_content": ["perhaps"],
    "feedback_texts": ["perhaps"],
    "feedback_keep_days": ["0", "3651", "nan", "inf"],
    "feedback_max_records": ["0", "1.5"],
    "feedback_max_mib": ["0", "nan", "inf"],
    "feedback_swap_share": ["-0.1", "1.1", "nan"],
    "fusion": ["sum", ""],
    "fusion_weight": ["-0.1", "nan", "inf"],
    "refuse": ["perhaps"],
    "max_deaths": ["0"],
    "budget_tokens": ["63"],
    "max_wait_ms": ["-0.1", "nan", "inf"],
    "token_cache_mb": ["-1", "1.5"],
    "profile": ["/nowhere/profile.toml"],
    "layout": ["both", "sideways"],
    "run_pairs": ["0"],
    "run_tokens": ["63"],
    "threads": ["0"],
    "preload": ["perhaps"],
    "pin": ["2"],
    "grace_s": ["0", "inf"],
    "metrics_port": ["-1", "65536"],
    "log_level": ["debug"],
    "min_processes": ["-1", "1.5"],
    "max_processes": ["0"],
    "target_backlog_s": ["0", "inf"],
    "bulk_target_backlog_s": ["0", "nan"],
    "cooldown_s": ["9", "1801", "inf"],
}


def test_the_tables_above_know_every_setting() -> None:
    assert set(OTHER) == set(Settings.model_fields)
    # An address that a name server must judge; any text is a URL, a file or a directory until it is used.
    assert set(Settings.model_fields) - set(WRONG) == {"redis_url", "metrics_host", "packed_dir", "fleet_file"}


@pytest.mark.parametrize("name", OTHER)
def test_each_setting_is_read_from_its_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, value = OTHER[name]
    assert getattr(load_settings(), name) != value
    monkeypatch.setenv(PREFIX + name.upper(), text)
    assert getattr(load_settings(), name) == value


@pytest.mark.parametrize("name", OTHER)
def test_a_child_process_loads_equal_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(**{name: OTHER[name][1]})
    for variable, value in to_environ(settings).items():
        monkeypatch.setenv(variable, value)
    assert load_settings() == settings


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRONG.items() for text in texts])
def test_a_wrong_value_names_its_variable(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + name.upper(), text)
    with pytest.raises(ConfigurationError, match=PREFIX + name.upper()) as caught:
        load_settings()
    assert len(caught.value.message) < 200


def test_bounds_of_autoscaling_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"max_processes \(2\) is below min_processes \(3\)"):
        load_settings(min_processes=3, max_processes=2)


def test_each_setting_is_in_one_group_and_each_group_says_who_reads_it() -> None:
    groups: list[type[SettingsGroup]] = [*GROUPS.values(), TunedSettings]
    assert [name for group in groups for name in group.model_fields] == list(Settings.model_fields)
    assert all(issubclass(Settings, group) for group in groups)
    assert all((group.__doc__ or "").startswith("Read by ") for group in groups)


@pytest.mark.parametrize("make", [load_settings, RerankClient, AsyncRerankClient])
@pytest.mark.parametrize(
    ("keyword", "hint"),
    [
        ("modle", "; did you mean model?"),
        ("namespaces", "; did you mean namespace?"),
        ("default_deadline", "; did you mean default_deadline_ms?"),
        ("RERANK_MODEL", "; did you mean model?"),
        ("qqqqqqqq", "."),
    ],
)
def test_an_unknown_keyword_is_told_as_a_keyword(make: Callable[..., object], keyword: str, hint: str) -> None:
    with pytest.raises(UnknownSetting) as caught:
        make(**{keyword: "x"})
    assert caught.value.message == (
        f"{keyword} is no setting of Rerank Fleet{hint} `rerank-fleet doctor --all` lists them all."
    )


@pytest.mark.parametrize(("name", "value"), [("concurrency", 0), ("redis_url", 5), ("log_level", "loud")])
def test_a_wrong_value_of_a_keyword_is_told_as_the_keyword_s(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}: Input should be"):
        load_settings(**{name: value})


def test_each_mistake_is_told_in_the_terms_of_where_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANK_GRACE_S", "soon")
    with pytest.raises(UnknownSetting) as caught:
        load_settings(concurrency=0, modle="x")
    assert {told.split()[0] for told in caught.value.message.split("; ") if not told.startswith("did")} == {
        "RERANK_GRACE_S:",
        "concurrency:",
        "modle",
    }


def test_redis_url_is_looked_for_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().redis_url.get_secret_value() == DEFAULT_REDIS_URL
    monkeypatch.setenv("REDIS_URL", "redis://platform:1")
    assert load_settings().redis_url.get_secret_value() == "redis://platform:1"
    monkeypatch.setenv("RERANK_REDIS_URL", "redis://ours:2")
    assert load_settings().redis_url.get_secret_value() == "redis://ours:2"
    assert load_settings(redis_url="redis://argument:3").redis_url.get_secret_value() == "redis://argument:3"
    monkeypatch.delenv("RERANK_REDIS_URL")
    assert load_settings(redis_url="redis://argument:3").redis_url.get_secret_value() == "redis://argument:3"
    assert load_settings(redis_url=None).redis_url.get_secret_value() == "redis://platform:1"


def test_an_argument_beats_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANK_CONCURRENCY", "7")
    assert load_settings(concurrency=3).concurrency == 3
    assert load_settings(concurrency=None).concurrency == 7


@pytest.mark.parametrize(
    ("variable", "suggestion"),
    [
        ("RERANK_MODLE", "RERANK_MODEL"),
        ("RERANK_REDISURL", "RERANK_REDIS_URL"),
        ("RERANK_BUDGET", "RERANK_BUDGET_TOKENS"),
        ("RERANK_model", "RERANK_MODEL"),
        ("RERANK_GATEWY_PORT", "RERANK_GATEWAY_PORT"),
        ("RERANK_GATE_MIN_SPEARMANN", "RERANK_GATE_MIN_SPEARMAN"),
    ],
)
def test_an_unknown_variable_is_refused(variable: str, suggestion: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "x")
    with pytest.raises(UnknownSetting, match=rf"^{variable} is .*; did you mean {suggestion}\? "):
        load_settings()


@pytest.mark.parametrize("variable", ["RERANK_QQQQQQQQ", "RERANK_X", "RERANK_", "RERANK_" + "MODEL" * 100])
def test_a_variable_like_no_other_gets_no_suggestion(variable: str) -> None:
    with pytest.raises(UnknownSetting) as caught:
        refuse_unknown([variable], PREFIX, Settings.model_fields)
    assert "did you mean" not in caught.value.message
    refuse_unknown(["OTHER_THING", "FLEET_WORKER_NAME"], PREFIX, Settings.model_fields)


def test_the_first_of_several_models_is_the_one_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().served_models == (load_settings().model,)
    monkeypatch.setenv("RERANK_MODELS", " ")
    assert load_settings().models is None
    monkeypatch.setenv("RERANK_MODELS", "hf:org/a,file:/b")
    assert (load_settings().model, load_settings().served_models) == ("hf:org/a", ("hf:org/a", "file:/b"))
    monkeypatch.setenv("RERANK_MODEL", "file:/b")
    assert (load_settings().model, load_settings().served_models) == ("file:/b", ("hf:org/a", "file:/b"))
    assert load_settings(model="c").served_models == ("c",)
    monkeypatch.setenv("RERANK_MODEL", "c")
    with pytest.raises(ConfigurationError, match=r"model \(c\) is none of models \(hf:org/a, file:/b\)"):
        load_settings()
    monkeypatch.delenv("RERANK_MODEL")
    with pytest.raises(ConfigurationError, match="model_digest is of one model, and models names several"):
        load_settings(model_digest="0" * 64)


def test_a_pair_of_full_length_must_fit_in_a_batch() -> None:
    with pytest.raises(ConfigurationError, match=r"budget_tokens \(512\) is below max_length \(513\)"):
        load_settings(budget_tokens=512, max_length=513)
    assert load_settings(budget_tokens=512, max_length=512).max_length == 512


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hush@db:6379/0",
        "rediss://user:hush@db/0",
        "redis://db:6379/0?password=hush",
        "unix:///run/redis.sock?db=1&password=hush",
        "unix://user:hush@/run/redis.sock",
    ],
)
def test_a_password_is_shown_nowhere(url: str) -> None:
    settings = load_settings(redis_url=url)
    assert to_environ(settings)["RERANK_REDIS_URL"] == url
    for shown in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert "hush" not in shown
    assert "hush" not in masked_url(settings)
    # What is not secret stays, so that a message still says which server is meant.
    assert ("db" in masked_url(settings)) or ("/run/redis.sock" in masked_url(settings))


def test_a_url_without_password_is_shown_as_it_is() -> None:
    for url in ("redis://db:6379/0", "unix:///run/redis.sock?db=1", "redis://user@db:6379"):
        assert masked_url(load_settings(redis_url=url)) == url


def test_the_environment_of_the_caller_is_left_alone() -> None:
    before = dict(os.environ)
    load_settings(namespace="other")
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("former", "layout"), [("single", "unpadded"), ("buckets", "padded"), ("ragged", "varlen"), ("packs", "packed")]
)
def test_the_variable_of_an_earlier_release_is_read_and_warned_of(
    former: str, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANK_PLAN", former)
    with pytest.warns(FutureWarning, match=f"RERANK_PLAN goes with the next release: set RERANK_LAYOUT={layout} in"):
        assert load_settings().layout == layout


def test_a_variable_of_this_release_comes_before_its_former_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANK_PLAN", "packs")
    monkeypatch.setenv("RERANK_LAYOUT", "varlen")
    with pytest.warns(FutureWarning):
        assert load_settings().layout == "varlen"


def test_a_profile_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    profile = tmp_path / "profile.toml"
    profile.write_text('plan = "buckets"\nrun_pairs = 9\n')
    settings = load_settings(profile=str(profile))
    assert (settings.layout, settings.run_pairs) == ("padded", 9)
