"""`rerank-fleet doctor`: what is in force, what works and what does not, each with how to mend it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence

import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rerank_ops.cli.admin.checks.finding import Finding
from rerank_ops.cli.admin.checks.fleet import check_fleet
from rerank_ops.cli.admin.checks.host import check_cores, check_cpu, check_versions
from rerank_ops.cli.admin.checks.model import check_model
from rerank_ops.cli.admin.checks.profile import check_profile
from rerank_ops.cli.admin.checks.server import check_server
from rerank_ops.cli.admin.effective import EffectiveSetting, effective_settings
from rerank_ops.cli.console import out
from rerank_ops.cli.extras import GATEWAY, missing
from rerank_ops.cli.options import AsJson, RedisUrl, settings_from
from rerank_producer.gateway.settings import GatewaySettings, load_gateway_settings
from rerank_shared.errors import ConfigurationError, UnknownSetting
from rerank_shared.models.cpu import host_features
from rerank_shared.settings import Settings

_CORRECT = "correct it; then run this again for all else"
_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(as_json: AsJson = False, url: RedisUrl = None) -> None:
    """Check settings, server, model, machine and fleet. Exit status 1 if anything fails."""
    settings, findings = _load(url)
    findings += [*check_versions(), *check_cores(settings), *check_cpu(host_features())]
    if settings is not None:
        findings += _check_all(settings)
    gateway, more = _load_gateway()
    findings += more
    shown = [line for each in (settings, gateway) if each is not None for line in effective_settings(each, os.environ)]
    failed = any(finding.status == "fail" for finding in findings)
    if as_json:
        _print_json(shown, findings, failed=failed)
    else:
        _print(shown, findings)
    raise typer.Exit(1 if failed else 0)


def _load(url: str | None) -> tuple[Settings | None, list[Finding]]:
    """Return the settings as far as they can be read; a variable that none reads leaves the others valid."""
    try:
        return settings_from(url), []
    except UnknownSetting as error:
        # Its message says that this command lists all settings.
        unknown = Finding("settings", "fail", error.message, "rename or unset it")
        try:
            return (Settings() if url is None else Settings(redis_url=url)), [unknown]
        except ConfigurationError as other:
            return None, [unknown, Finding("settings", "fail", other.message, _CORRECT)]
    except ConfigurationError as error:
        return None, [Finding("settings", "fail", error.message, _CORRECT)]


def _load_gateway() -> tuple[GatewaySettings | None, list[Finding]]:
    """Return the gateway's settings, if it could run here."""
    if missing(GATEWAY):
        return None, []
    try:
        return load_gateway_settings(), []
    except ConfigurationError as error:
        return None, [Finding("gateway", "fail", error.message, "correct it; the gateway would not start")]


def _check_all(settings: Settings) -> Iterator[Finding]:
    reachable = True
    for finding in check_server(settings):
        reachable = reachable and (finding.name != "server" or finding.status != "fail")
        yield finding
    yield from check_model(settings)
    yield from check_profile(settings)
    if reachable:
        yield from check_fleet(settings)


def _print_json(shown: Sequence[EffectiveSetting], findings: Sequence[Finding], *, failed: bool) -> None:
    report = {
        "ok": not failed,
        "settings": [setting.as_plain() for setting in shown],
        "checks": [finding.as_plain() for finding in findings],
    }
    print(json.dumps(report, indent=2))


def _print(shown: Sequence[EffectiveSetting], findings: Sequence[Finding]) -> None:
    if shown:
        out.print(settings_grid(shown))
        out.print()
    out.print(findings_grid(findings))
    counts = {status: sum(finding.status == status for finding in findings) for status in ("fail", "warn")}
    if not any(counts.values()):
        out.print("\nAll is well.", style="green")


def settings_grid(shown: Sequence[EffectiveSetting]) -> Padding:
    """Return the settings, those that somebody set standing out."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    for setting in shown:
        style = "dim" if setting.origin == "default" else ""
        grid.add_row(*(Text(part, style=style) for part in (setting.variable, setting.value, setting.origin)))
    return Padding(grid, 0)


def findings_grid(findings: Sequence[Finding]) -> Table:
    """Return one row a finding, its remedy below it."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    for finding in findings:
        message = Text(finding.message)
        if finding.fix:
            message.append(f"\n→ {finding.fix}", style="cyan")
        grid.add_row(Text(finding.status, style=_STYLES[finding.status]), finding.name, message)
    return grid
