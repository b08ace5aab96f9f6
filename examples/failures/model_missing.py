"""The model is missing, damaged or refused: the worker doesn't start, says what to do, and ends with status 78.

python examples/failures/model_missing.py
"""

import os
import subprocess

#: EX_CONFIG of sysexits.h: a service manager must not start it again (systemd: RestartPreventExitStatus=78).
REFUSED_FOR_GOOD = 78


def main() -> None:
    """Start a worker on a model directory that does not exist."""
    environ = os.environ | {"RERANK_MODEL": "file:/nowhere/model"}
    command = ["rerank-fleet", "worker", "--processes", "1"]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=100, check=False)
    print("refused for good:", ended.returncode == REFUSED_FOR_GOOD)
    print(next(line for line in ended.stderr.splitlines() if "/nowhere/model" in line))
    # Prints:
    # refused for good: True
    # ...model directory /nowhere/model does not exist


if __name__ == "__main__":
    main()
