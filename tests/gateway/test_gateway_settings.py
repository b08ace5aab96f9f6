"""Settings of the gateway: read from their own variables, which the fleet's own settings leave alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rerank_producer.gateway.settings import load_gateway_settings
from rerank_shared.errors import ConfigurationError, UnknownSetting
from rerank_shared.settings import load_settings


def test_lists_are_written_by_comma(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANK_GATEWAY_CORS_ORIGINS", "https://shop.example, http://localhost:3000,")
    monkeypatch.setenv("RERANK_GATEWAY_STAND_IN_FOR", "")
    settings = load_gateway_settings()
    assert settings.cors_origins == ("https://shop.example", "http://localhost:3000")
    assert settings.stand_in_for == ()


@pytest.mark.parametrize("origin", ["shop.example", "https://shop.example/", "https://shop.example/page", "null"])
def test_an_origin_is_a_scheme_and_a_host(origin: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^cors_origins: "):
        load_gateway_settings(cors_origins=origin)


@pytest.mark.parametrize("host", ["http://gw.example", "gw.example:8080", "gw.example/page", "a b"])
def test_a_host_is_a_name_alone(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^hosts: "):
        load_gateway_settings(hosts=host)
    assert load_gateway_settings(hosts="GW.example, *.svc.cluster.local").hosts == ("gw.example", "*.svc.cluster.local")


def test_an_argument_comes_before_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANK_GATEWAY_PORT", "7")
    assert load_gateway_settings(port=8).port == 8
    assert load_gateway_settings(port=None).port == 7


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("RERANK_GATEWAY_KEY", "RERANK_GATEWAY_KEYS"),
        ("RERANK_GATEWAY_PROT", "RERANK_GATEWAY_PORT"),
        ("RERANK_GATEWAY_REDIS_URL", "RERANK_REDIS_URL"),
        ("RERANK_GATEWAY_MODEL", "RERANK_MODEL"),
    ],
)
def test_a_variable_that_no_setting_reads_is_refused(
    variable: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "x")
    with pytest.raises(UnknownSetting, match=rf"^{variable} is .*; did you mean {meant}\? "):
        load_gateway_settings()


def test_an_unknown_keyword_is_told_as_a_keyword() -> None:
    with pytest.raises(UnknownSetting, match=r"^prot is no setting of Rerank Fleet; did you mean port\? "):
        load_gateway_settings(prot=80)


def test_a_wrong_value_of_a_variable_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANK_GATEWAY_PORT", "many")
    with pytest.raises(ConfigurationError, match=r"^RERANK_GATEWAY_PORT: "):
        load_gateway_settings()


def test_the_fleet_s_settings_leave_them_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANK_GATEWAY_PORT", "7")
    load_settings()


def test_a_body_limit_is_in_mib() -> None:
    assert load_gateway_settings(max_body_mib=0.5).max_body_bytes == 512 * 1024


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_file_mib", 0),
        ("batch_stored_mib", 0),
        ("batch_files", 0),
        ("batch_lines", 1_000_001),
        ("batch_keep_days", 0),
        ("batch_open", 0),
        ("batch_running", 65),
        ("batch_upload_s", 0),
    ],
)
def test_limits_of_batches_have_bounds(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{name}: "):
        load_gateway_settings(**{name: value})


def test_batches_are_off_until_they_have_a_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_gateway_settings().batch_dir is None
    monkeypatch.setenv("RERANK_GATEWAY_BATCH_DIR", "/var/lib/batches")
    settings = load_gateway_settings(batch_file_mib=1.5, batch_stored_mib=2, batch_keep_days=0.5)
    assert settings.batch_dir == "/var/lib/batches"
    assert (settings.batch_file_bytes, settings.batch_stored_bytes) == (1_572_864, 2_097_152)
    assert settings.batch_keep_s == 43_200


def test_no_secret_is_shown() -> None:
    settings = load_gateway_settings(overflow_key="hush", overflow_url="https://up.example", overflow_model="m")
    assert "hush" not in f"{settings!r} {settings} {settings.model_dump_json()}"


def test_they_need_no_web_framework() -> None:
    script = (
        "import sys, rerank_producer.gateway.settings; assert not {'starlette', 'httpx', 'uvicorn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
