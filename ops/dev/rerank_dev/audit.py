"""Asks pip-audit whether a package that is installed here has a known vulnerability; python -m rerank_dev.audit.

Exit status 1 if one has, or if pip-audit broke. Where the advisories can't be reached that is said, and fails nothing:
pip-audit itself calls a package that nobody could tell it of one without vulnerabilities.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

_TIMEOUT_S = 120
#: Not published, so no advisory can name it.
_OWN = "rerank-fleet"
_COMMAND = ("-m", "pip_audit", "--local", "--format", "json", "--progress-spinner", "off")
#: How pip-audit ends where the network is to blame: by its own words, or by what its HTTP library raised.
_UNREACHABLE = re.compile(
    r"your network may be blocking this service"
    r"|^requests\.exceptions\.(ConnectionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|HTTPError"
    r"|ChunkedEncodingError)\b",
    re.MULTILINE,
)


def main() -> int:
    """Print the verdict; returns the exit status."""
    status, told = _audited()
    print(f"pip-audit: {told}")
    return status


def verdict(dependencies: list[dict[str, Any]]) -> tuple[int, str]:
    """Return exit status and words for what pip-audit found, as its JSON lists it."""
    audited = [each for each in dependencies if "vulns" in each]
    untold = sorted(each["name"] for each in dependencies if "vulns" not in each and each["name"] != _OWN)
    found = [f"{each['name']} {each['version']}: {vuln['id']}" for each in audited for vuln in each["vulns"]]
    if found:
        return 1, f"known vulnerabilities: {'; '.join(found)}"
    if not audited:
        return 0, "skipped, its advisories can't be reached from here"
    told = f"{len(audited)} packages, no known vulnerability"
    return 0, told + (f"; nothing is known of {', '.join(untold)}" if untold else "")


def _audited() -> tuple[int, str]:
    try:
        run = subprocess.run(
            [sys.executable, *_COMMAND], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        # Only the network takes so long.
        return 0, f"skipped, its advisories did not come within {_TIMEOUT_S} s"
    try:
        dependencies = json.loads(run.stdout)["dependencies"]
    except (ValueError, LookupError, TypeError):
        return _without_report(run)
    return verdict(dependencies)


def _without_report(run: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    lines = run.stderr.strip().splitlines()
    last = lines[-1] if lines else f"not a word, exit status {run.returncode}"
    if _UNREACHABLE.search(run.stderr):
        return 0, f"skipped, its advisories can't be reached from here: {last}"
    return 1, f"broken, nothing was audited: {last}"


if __name__ == "__main__":
    sys.exit(main())
