"""The compose file: its schema, its linter, and the files that it mounts, which real servers read where one is here."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from rerank_dev.ports import free_port
from rerank_ops.local.redis_server import find_server
from rerank_producer.gateway.settings import load_gateway_settings
from rerank_shared.settings import PREFIX, load_settings
from support.waiting import wait_until

COMPOSE = Path(__file__).parents[2] / "ops/deploy/compose"
FILE = COMPOSE / "compose.yaml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"]
PASSWORD = "of-a-test"


def run(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name(command)
    return subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)


def filled_in(text: str) -> str:
    """Return a value as compose reads it, with an empty .env but for passwords."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
    return re.sub(r"\$\{\w+:\?[^}]*\}", PASSWORD, text).replace("$$", "$")


def test_it_keeps_to_the_specification() -> None:
    done = run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE))
    assert done.returncode == 0, done.stdout


def test_its_linter_finds_nothing_grave() -> None:
    """What is left is advice to pin by digest, and to limit the CPU, which would stop a process in mid-batch."""
    done = run("compose-lint", "check", "--fail-on", "high", str(FILE))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"])
    assert "mem_limit" in service
    assert "healthcheck" in service or "build" in service
    assert ":latest" not in service["image"]


def test_only_this_machine_reaches_what_is_published() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published.keys() == {"gateway", "grafana"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert SERVICES["valkey"]["networks"] == ["queue"]


@pytest.mark.parametrize("name", ["gateway", "worker"])
def test_the_fleet_starts_with_its_variables(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in SERVICES[name]["environment"].items():
        if variable.startswith(PREFIX):
            monkeypatch.setenv(variable, filled_in(value))
    settings, gateway = load_settings(), load_gateway_settings()
    assert settings.redis_url.get_secret_value() == f"redis://:{PASSWORD}@valkey:6379/0"
    needs = gateway.drain_s + gateway.grace_s if name == "gateway" else settings.grace_s
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > needs


def test_what_is_mounted_is_there() -> None:
    mounts = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])]
    paths = [(COMPOSE / mount).resolve() for mount in mounts if mount.startswith(".")]
    assert len(paths) >= 5
    assert [path for path in paths if not path.exists()] == []


def test_each_variable_that_must_be_set_is_in_the_example() -> None:
    needed = set(re.findall(r"\$\{(\w+):\?", FILE.read_text(encoding="utf-8")))
    assert needed <= set(re.findall(r"^(\w+)=", (COMPOSE / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[redis.Redis]:
    """The server of this machine, started by the command of the compose file."""
    config = (COMPOSE / "valkey/fleet.conf").read_text(encoding="utf-8").replace("dir /data", f"dir {tmp_path}")
    (tmp_path / "fleet.conf").write_text(config, encoding="utf-8")
    port = free_port()
    shell, option, script = SERVICES["valkey"]["command"]
    script = filled_in(script).replace("/etc/valkey/fleet.conf", str(tmp_path / "fleet.conf"))
    script = script.replace("valkey-server -", f"{find_server().path} - --port {port} --bind 127.0.0.1")
    process = subprocess.Popen([shell, option, script], env={"VALKEY_PASSWORD": PASSWORD}, stdout=subprocess.DEVNULL)
    client = redis.Redis(port=port, password=PASSWORD)

    def answers() -> bool:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False

    wait_until(answers, "the server")
    yield client
    client.close()
    process.terminate()
    assert process.wait(timeout=30) == 0


def test_the_server_keeps_jobs_and_sheds_scores(valkey: redis.Redis) -> None:
    told = valkey.config_get("*")
    assert told["maxmemory-policy"] == "volatile-lru"
    assert (told["appendonly"], told["appendfsync"]) == ("yes", "everysec")
    assert told["maxmemory"] == str(1024**3)


def test_the_server_wants_its_password(valkey: redis.Redis) -> None:
    stranger = redis.Redis(port=valkey.connection_pool.connection_kwargs["port"])
    with stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_prometheus_finds_each_container_by_its_services_name() -> None:
    config = yaml.safe_load((COMPOSE / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
    asked = {
        (name, discovery["port"])
        for job in config["scrape_configs"]
        for discovery in job["dns_sd_configs"]
        for name in discovery["names"]
    }
    assert asked == {("gateway", 8080), ("worker", 9808)}
    assert all("watch" in SERVICES[name]["networks"] for name in ("gateway", "worker", "prometheus", "grafana"))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on the PATH")
def test_prometheus_can_read_its_configuration() -> None:
    done = subprocess.run(
        ["promtool", "check", "config", "--syntax-only", str(COMPOSE / "prometheus/prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_grafana_reads_the_dashboards_that_are_mounted() -> None:
    (provider,) = yaml.safe_load((COMPOSE / "grafana/provisioning/dashboards/fleet.yaml").read_text())["providers"]
    (source,) = yaml.safe_load((COMPOSE / "grafana/provisioning/datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
    mounts = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    assert mounts["../../mixin/dashboards"] == provider["options"]["path"]
    assert source["url"] == "http://prometheus:9090"
