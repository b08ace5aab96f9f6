"""`make fuzz`: requests made up from the gateway's OpenAPI document, good and bad, against a real gateway and worker.

Exit status 1 where an answer is a server error, or not what the document says of it. A 504 is neither: a deadline of a
microsecond is a fair request. The live stream is left out, under both its names, since it never ends by itself. Whether
what the document does not allow is refused is no check: a number in quotes is taken, as the imitated APIs take it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rerank_dev.bench.served import served_gateway
from rerank_ops.local.fleet import local_fleet
from rerank_shared.settings import bare_environ, load_settings

ENDLESS = "/fleet/live$"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)
#: Headers that nobody knows are ignored, as everywhere.
_CONFIG = """
[generation]
allow-extra-parameters = false

[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "504"]
"""
_SCHEMATHESIS = "from schemathesis.cli import schemathesis; schemathesis()"


def main() -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.fuzz")
    parser.add_argument("--examples", type=int, default=100, help="test cases of each operation, at most")
    parser.add_argument("--seconds", type=int, default=240, help="of the whole run, at most")
    parser.add_argument("--checks", default=",".join(CHECKS))
    parser.add_argument("rest", nargs="*", help="arguments for `schemathesis run`, after --")
    chosen = parser.parse_args()
    settings = load_settings(namespace=f"fuzz-{os.getpid()}")
    with tempfile.TemporaryDirectory(prefix="rerank-fuzz-") as directory, local_fleet(settings, 1) as fleet:
        config = Path(directory) / "schemathesis.toml"
        config.write_text(_CONFIG)
        with served_gateway(fleet.settings, Path(directory) / "gateway.log") as gateway:
            command = [sys.executable, "-c", _SCHEMATHESIS, "--config-file", str(config), "run"]
            command += [f"{gateway.url}/openapi.json", "--exclude-path-regex", ENDLESS, "--checks", chosen.checks]
            command += ["--max-examples", str(chosen.examples), "--max-time", str(chosen.seconds)]
            # Longer than the deadline of a request that names none.
            command += ["--request-timeout", "60", "--continue-on-failure", "--generation-database", "none"]
            code = subprocess.run([*command, *chosen.rest], env=bare_environ(), cwd=directory, check=False).returncode
            if code:
                print("The gateway's log ends:", *gateway.log_path.read_text().splitlines()[-20:], sep="\n", flush=True)
    return int(code != 0)


if __name__ == "__main__":
    sys.exit(main())
