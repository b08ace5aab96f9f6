"""A real Prometheus with the mixin's rules, as a process of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import httpx
import yaml

from rerank_dev.mixin.rule_files import rule_files
from rerank_dev.ports import free_port

_STORE = ("--storage.tsdb.path=data", "--log.level=warn")


class Prometheus:
    """Scrapes each target, by the job of each, and evaluates the rules every second; alerts fire at once."""

    def __init__(self, directory: Path, targets: dict[str, str]) -> None:
        for name, text in rule_files("docs/runbook.md", hold=False).items():
            (directory / name).write_text(text)
        scraped = [{"job_name": job, "static_configs": [{"targets": [address]}]} for job, address in targets.items()]
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml", "alerts.yaml"],
            "scrape_configs": scraped,
        }
        (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
        address = f"127.0.0.1:{free_port()}"
        self._http = httpx.Client(base_url=f"http://{address}", trust_env=False, timeout=30)
        with (directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    "--config.file=prometheus.yml",
                    "--storage.tsdb.path=data",
                    f"--web.listen-address={address}",
                ],
                cwd=directory,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def series(self, query: str) -> list[dict[str, Any]]:
        """Return the series that a query has now; none while Prometheus is starting."""
        try:
            answer = self._http.get("/api/v1/query", params={"query": query})
        except httpx.TransportError:
            assert self._process.poll() is None, "Prometheus ended"
            return []
        return list(answer.json()["data"]["result"]) if answer.status_code == 200 else []

    def numbers(self, query: str) -> list[float]:
        """Return the values of a query now, without those that are not a number."""
        found = [float(each["value"][1]) for each in self.series(query)]
        return [value for value in found if value == value]

    def problems(self) -> dict[str, str]:
        """Return the errors of rules by their names."""
        groups = self._http.get("/api/v1/rules").json()["data"]["groups"]
        return {rule["name"]: rule["lastError"] for group in groups for rule in group["rules"] if "lastError" in rule}

    def close(self) -> None:
        """End it."""
        self._http.close()
        self._process.terminate()
        self._process.wait(timeout=30)
