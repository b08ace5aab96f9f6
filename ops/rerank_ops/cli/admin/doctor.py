"""`rerank-fleet doctor`: prints a finding with its remedy for each part of the installation, then the settings."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from rerank_ops.cli.admin.checks.finding import Finding
from rerank_ops.cli.admin.checks.fleet import check_fleet
from rerank_ops.cli.admin.checks.host import check_cores, check_cpu, check_versions
from rerank_ops.cli.admin.checks.model import check_models
from rerank_ops.cli.admin.checks.profile import check_profile
from rerank_ops.cli.admin.checks.routes import check_fleet_file, check_routes
from rerank_ops.cli.admin.checks.server import check_server
from rerank_ops.cli.console import out
from rerank_ops.cli.extras import GATEWAY, missing
from rerank_ops.cli.options import RedisUrl, settings_from
from rerank_ops.effective import SECTIONS, EffectiveSetting, effective_settings
from rerank_producer.gateway.settings import GatewaySettings, load_gateway_settings
from rerank_shared.errors import ConfigurationError, UnknownSetting
from rerank_shared.models.cpu import host_features
from rerank_shared.settings import Settings

_CORRECT = "correct it; then run this again for all else"
_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}

#: Settings in force, by the title of their group.
Groups = dict[str, list[EffectiveSetting]]
AllSettings = Annotated[bool, typer.Option("--all", help="Show settings with their default values too.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON: the checks and all settings.")]


def doctor(everything: AllSettings = False, as_json: AsJson = False, url: RedisUrl = None) -> None:
    """Check settings, server, model, machine and fleet. Exit status 1 if anything fails.

    The settings that differ from their defaults follow, each with its origin.
    """
    settings, findings = _load(url)
    findings += [*check_versions(), *check_cores(settings), *check_cpu(host_features())]
    if settings is not None:
        findings += _check_all(settings)
    gateway, more = _load_gateway()
    findings += more
    groups = _in_force(settings, gateway)
    failed = any(finding.status == "fail" for finding in findings)
    if as_json:
        _print_json(groups, findings, failed=failed)
    else:
        _print_findings(findings)
        _print_settings(groups, everything=everything)
    raise typer.Exit(1 if failed else 0)


def _load(url: str | None) -> tuple[Settings | None, list[Finding]]:
    """Return the settings, None if they are invalid, and the findings; an unknown variable leaves the others valid."""
    try:
        return settings_from(url), []
    except UnknownSetting as error:
        # The message of UnknownSetting names this command, so the fix does not.
        unknown = Finding("settings", "fail", error.message, "rename or unset it")
        try:
            return (Settings() if url is None else Settings(redis_url=url)), [unknown]
        except ConfigurationError as other:
            return None, [unknown, Finding("settings", "fail", other.message, _CORRECT)]
    except ConfigurationError as error:
        return None, [Finding("settings", "fail", error.message, _CORRECT)]


def _load_gateway() -> tuple[GatewaySettings | None, list[Finding]]:
    """Return the gateway's settings, None if its extra is not installed or they are invalid."""
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
    yield from check_models(settings)
    yield from check_profile(settings)
    yield from check_fleet_file(settings)
    if reachable:
        yield from check_fleet(settings)
        yield from check_routes(settings)


def _in_force(settings: Settings | None, gateway: GatewaySettings | None) -> Groups:
    """Return the valid settings by group, in the order of SECTIONS."""
    groups: Groups = {}
    for title, group in SECTIONS.items():
        source = gateway if group is GatewaySettings else settings
        if source is not None:
            by_name = {setting.name: setting for setting in effective_settings(source, os.environ)}
            groups[title] = [by_name[name] for name in group.model_fields]
    return groups


def _print_json(groups: Groups, findings: Sequence[Finding], *, failed: bool) -> None:
    report = {
        "ok": not failed,
        "settings": [setting.as_plain() for group in groups.values() for setting in group],
        "checks": [finding.as_plain() for finding in findings],
    }
    print(json.dumps(report, indent=2))


def _print_findings(findings: Sequence[Finding]) -> None:
    out.print(findings_grid(findings))
    if all(finding.status == "ok" for finding in findings):
        out.print("\nAll is well.", style="green")


def _print_settings(groups: Groups, *, everything: bool) -> None:
    """Print all settings by group; or only those that differ from their defaults, and the number of the others."""
    if everything:
        for title, group in groups.items():
            out.print(f"\n{title}", style="bold", highlight=False)
            out.print(settings_grid(group))
        return
    all_settings = [setting for group in groups.values() for setting in group]
    changed = [setting for setting in all_settings if not setting.is_default]
    if changed:
        out.print("\nSettings that differ from their defaults", style="bold")
        out.print(settings_grid(changed))
    if all_settings:
        rest = f"{len(all_settings) - len(changed)} settings have their defaults: rerank-fleet doctor --all shows them."
        out.print(f"\n{rest}", style="dim", highlight=False)


def settings_grid(shown: Sequence[EffectiveSetting]) -> Table:
    """Return one row a setting with its origin; settings at their defaults are dimmed."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    for setting in shown:
        style = "dim" if setting.is_default else ""
        grid.add_row(*(Text(part, style=style) for part in (setting.variable, setting.value, setting.origin)))
    return grid


def findings_grid(findings: Sequence[Finding]) -> Table:
    """Return one row a finding, its remedy below it."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    for finding in findings:
        message = Text(finding.message)
        if finding.fix:
            message.append(f"\n→ {finding.fix}", style="cyan")
        grid.add_row(Text(finding.status, style=_STYLES[finding.status]), finding.name, message)
    return grid
