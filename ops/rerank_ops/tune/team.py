"""Teams: measures the throughput of all cores by processes and threads, from one thread a core to one process.

Only one team runs at a time, and the teams take turns; their processes stay alive between turns.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any

from rerank_shared.errors import ConfigurationError
from rerank_shared.settings import Settings, bare_environ, to_environ
from rerank_worker.supervisor.cores import available_cores, pinnable_cores, spread
from rerank_worker.tokenizing import EncodedPair

#: Limit of processes, so that the measurement ends in time on a large machine.
_MOST_PROCESSES = 8
_COMMAND = (sys.executable, "-m", "rerank_ops.tune.child")
_PAIRS = 64


@dataclass(slots=True)
class Team:
    """A number of processes with threads each, and their joint rate in tokens a second, one value a round."""

    processes: int
    threads: int
    tokens_per_s: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.processes} x {self.threads}"


def teams_for(cores: int) -> list[Team]:
    """Return the teams to compare on so many cores; one team where there is no choice."""
    cores = min(cores, _MOST_PROCESSES)
    # All teams but the first use the same cores, since a lone process would have the memory to itself.
    shapes = dict.fromkeys([(1, 1), (cores, 1), (cores // 2, 2), (1, cores)])
    return [Team(processes, threads) for processes, threads in shapes if processes and processes * threads <= cores]


def measure_teams(
    settings: Settings, pairs: Sequence[EncodedPair], turn_s: float, rounds: int, on_turn: Callable[[], None]
) -> list[Team]:
    """Return all teams with their rates, measured in the layout of `settings`.

    `turn_s` is the time of a turn, in seconds. Raises ConfigurationError where a process ends early.
    """
    teams = teams_for(len(available_cores()))
    with ExitStack() as stack:
        members = [stack.enter_context(_members(settings, pairs, team)) for team in teams]
        for _ in range(rounds):
            for team, processes in zip(teams, members, strict=True):
                team.tokens_per_s.append(_run(processes, turn_s))
                on_turn()
    return teams


@contextmanager
def _members(settings: Settings, pairs: Sequence[EncodedPair], team: Team) -> Iterator[list[subprocess.Popen[str]]]:
    environ = bare_environ() | to_environ(settings.model_copy(update={"threads": team.threads, "profile": None}))
    environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    # A process of several threads needs several cores, so it is not pinned.
    pins = spread(team.processes, pinnable_cores() if team.threads == 1 and settings.pin else ())
    told = [[pair.ids.tolist(), pair.type_ids.tolist()] for pair in pairs[:: max(1, len(pairs) // _PAIRS)]]
    processes: list[subprocess.Popen[str]] = []
    try:
        for core in pins:
            process = subprocess.Popen(
                _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, text=True, bufsize=1
            )
            processes.append(process)
            _tell(process, {"core": core, "pairs": told})
        for process in processes:
            _hear(process)
        yield processes
    finally:
        for process in processes:
            _close(process)


def _run(processes: Sequence[subprocess.Popen[str]], turn_s: float) -> float:
    for process in processes:
        _tell(process, {"seconds": turn_s})
    answers = [_hear(process) for process in processes]
    return float(sum(answer["tokens"] / answer["seconds"] for answer in answers))


def _tell(process: subprocess.Popen[str], message: dict[str, Any]) -> None:
    try:
        print(json.dumps(message), file=_pipe(process.stdin), flush=True)
    except BrokenPipeError:
        raise _ended() from None


def _hear(process: subprocess.Popen[str]) -> dict[str, Any]:
    if not (line := _pipe(process.stdout).readline()):
        raise _ended()
    answer: dict[str, Any] = json.loads(line)
    return answer


def _close(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    _pipe(process.stdout).close()
    # The process has ended, so unread input does not matter.
    with suppress(BrokenPipeError):
        _pipe(process.stdin).close()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None, "all processes of a team are started with pipes"
    return pipe


def _ended() -> ConfigurationError:
    return ConfigurationError("a measuring process ended early, see what it printed above; memory may be short")
