"""The supervisor over real child processes: small scripts that behave as workers do, well or badly."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import threading

import pytest

from rerank_dev.ports import free_port
from rerank_shared.errors import ConfigurationError, InternalError
from rerank_shared.settings import Settings, load_settings
from rerank_worker.supervisor.backoff import RestartPolicy
from rerank_worker.supervisor.child import Launch
from rerank_worker.supervisor.supervisor import EX_CONFIG, EX_KILLED, EX_OK, Supervisor
from support.supervised import (
    CHILD,
    COUNTING_CHILD,
    QUICK,
    Children,
    Constant,
    poll_until,
    roll_all,
    scrape,
)
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.fixture
def settings() -> Settings:
    return load_settings(grace_s=20.0, pin=True)


class TestStart:
    def test_each_core_has_a_process_that_knows_its_name_and_its_core(
        self, settings: Settings, children: Children
    ) -> None:
        with Supervisor(settings, cores=[4, 9, 11], command=children.command()) as supervisor:
            pids = supervisor.pids()
            poll_until(supervisor, lambda: len(children.started()) == 3, "three children")
            environs = [children.started()[pid] for pid in pids]
        assert [environ["FLEET_WORKER_CORE"] for environ in environs] == ["4", "9", "11"]
        assert len({environ["FLEET_WORKER_NAME"] for environ in environs}) == 3
        assert all(environ["FLEET_WORKER_NAME"].startswith(socket.gethostname()) for environ in environs)

    @pytest.mark.parametrize(
        ("pin", "processes", "cores"),
        [(False, 1, [4]), (True, 2, [4]), (True, 1, [4, 9])],
        ids=["switched off", "too few cores", "cores for others"],
    )
    def test_nothing_is_pinned(self, children: Children, pin: bool, processes: int, cores: list[int]) -> None:
        settings = load_settings(pin=pin)
        with Supervisor(settings, processes, cores, command=children.command()) as supervisor:
            poll_until(supervisor, lambda: len(children.started()) == processes, "children")
        assert {environ["FLEET_WORKER_CORE"] for environ in children.started().values()} == {""}

    def test_the_number_of_processes_comes_from_the_argument_then_the_settings_then_the_cores(
        self, children: Children
    ) -> None:
        for settings, processes, count in [
            (load_settings(processes=2), 1, 1),
            (load_settings(processes=2), None, 2),
            (load_settings(), None, 3),
        ]:
            with Supervisor(settings, processes, [0, 1, 2], command=children.command()) as supervisor:
                assert len(supervisor.pids()) == count

    def test_a_child_is_started_apart_from_the_terminal_and_for_one_thread(
        self, settings: Settings, children: Children, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OMP_NUM_THREADS", "16")
        with Supervisor(settings, 1, command=children.command()) as supervisor:
            (pid,) = supervisor.pids()
            poll_until(supervisor, children.started, "a child")
            assert os.getpgid(pid) != os.getpgid(0)
            environ = children.started()[pid]
        assert environ["OMP_NUM_THREADS"] == "1"
        assert environ["TOKENIZERS_PARALLELISM"] == "false"

    def test_a_child_loads_equal_settings_whatever_the_environment_says(self, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = load_settings(redis_url="redis://:secret@one:1/0", cache=False, max_wait_ms=2.5, processes=3)
        base = {"PATH": "/bin", "REDIS_URL": "redis://two", "RERANK_MODEL_DIGEST": "0" * 64, "RERANK_TYPO": "1"}
        environ = Launch(settings, (), 7).environ(base)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        assert load_settings() == settings
        assert environ["PATH"] == "/bin"

    def test_a_command_that_cannot_be_run_is_tried_again(self, settings: Settings, children: Children) -> None:
        path = children.directory / "worker"
        with Supervisor(settings, 1, command=[str(path)], policy=QUICK) as supervisor:
            supervisor.poll(0.05)
            assert supervisor.pids() == []
            (children.directory / "script").write_text(f"#!{sys.executable} -S\n{CHILD}")
            (children.directory / "script").chmod(0o755)
            command = [str(children.directory / "script"), str(children.directory), "good"]
            starter = f"#!/bin/sh\nexec {' '.join(command)}\n"
            (children.directory / "worker~").write_text(starter)
            (children.directory / "worker~").chmod(0o755)
            (children.directory / "worker~").rename(path)
            poll_until(supervisor, children.started, "a child")

    def test_it_is_used_once(self, settings: Settings, children: Children) -> None:
        supervisor = Supervisor(settings, 1, command=children.command())
        with pytest.raises(InternalError, match="before it was started"):
            supervisor.poll()
        with supervisor, pytest.raises(InternalError, match="twice"):
            supervisor.start()


class TestDeath:
    def test_one_that_is_killed_is_replaced_and_the_others_are_not(
        self, settings: Settings, children: Children
    ) -> None:
        with Supervisor(settings, 2, command=children.command(), policy=QUICK) as supervisor:
            victim, other = supervisor.pids()
            poll_until(supervisor, lambda: len(children.started()) == 2, "two children")
            os.kill(victim, signal.SIGKILL)
            poll_until(supervisor, lambda: len(children.started()) == 3, "a replacement")
            assert other in supervisor.pids()
            assert victim not in supervisor.pids()
            assert supervisor.restarts == 1
        names = [environ["FLEET_WORKER_NAME"] for environ in children.started().values()]
        assert len(set(names)) == 3

    def test_one_that_ends_by_itself_in_order_is_replaced(self, settings: Settings, children: Children) -> None:
        with Supervisor(settings, 1, command=children.command(), policy=QUICK) as supervisor:
            poll_until(supervisor, children.started, "a child")
            os.kill(supervisor.pids()[0], signal.SIGTERM)
            poll_until(supervisor, lambda: len(children.started()) == 2, "a replacement")
            assert supervisor.restarts == 1

    def test_one_that_keeps_dying_is_started_again_and_again_but_ever_later(
        self, settings: Settings, children: Children, caplog: pytest.LogCaptureFixture
    ) -> None:
        with (
            caplog.at_level("INFO", "rerank_worker.supervisor.supervisor"),
            Supervisor(settings, 1, command=children.command("crash"), policy=QUICK) as supervisor,
        ):
            poll_until(supervisor, lambda: supervisor.restarts >= 4, "four deaths")
        deaths = [record.getMessage() for record in caplog.records if "worker died" in record.getMessage()]
        assert all(" code=3 " in death for death in deaths)
        waits = [float(death.rpartition("=")[2]) for death in deaths[:4]]
        assert waits == [0.01, 0.02, 0.04, 0.05]

    def test_a_death_wakes_a_sleeping_supervisor(self, settings: Settings, children: Children) -> None:
        with Supervisor(settings, 1, command=children.command(), policy=QUICK) as supervisor:
            poll_until(supervisor, children.started, "a child")
            os.kill(supervisor.pids()[0], signal.SIGKILL)
            while supervisor.restarts == 0:
                supervisor.poll(None)  # would sleep for ever

    def test_one_that_refuses_to_start_ends_all_with_78(self, settings: Settings, children: Children) -> None:
        supervisor = Supervisor(settings, 3, command=children.command("refuse-second"))
        supervisor.start()
        wait_until(lambda: supervisor.poll(0.01) is not None, "the end")
        assert supervisor.pids() == []
        assert supervisor.restarts == 0
        assert supervisor.stop() == EX_CONFIG


class TestStop:
    def test_all_drain(self, settings: Settings, children: Children) -> None:
        supervisor = Supervisor(settings, 3, command=children.command())
        supervisor.start()
        poll_until(supervisor, lambda: len(children.started()) == 3, "three children")
        pids = set(supervisor.pids())
        assert supervisor.stop() == EX_OK
        assert children.noted("drained") == pids
        assert supervisor.pids() == []
        assert supervisor.stop() == EX_OK

    def test_one_that_does_not_drain_is_killed_after_the_grace(self, children: Children) -> None:
        supervisor = Supervisor(load_settings(grace_s=0.5), 1, command=children.command("stubborn"))
        supervisor.start()
        poll_until(supervisor, children.started, "a child")
        assert supervisor.stop() == EX_KILLED

    def test_one_that_crashed_is_not_started_again_while_the_others_drain(
        self, settings: Settings, children: Children
    ) -> None:
        slow = RestartPolicy(first_s=0.3)
        supervisor = Supervisor(settings, 2, command=children.command(), policy=slow)
        supervisor.start()
        poll_until(supervisor, lambda: len(children.started()) == 2, "two children")
        os.kill(supervisor.pids()[0], signal.SIGKILL)
        poll_until(supervisor, lambda: supervisor.restarts, "a death")
        assert supervisor.stop() == EX_OK
        assert len(children.started()) == 2

    def test_kill_does_not_wait(self, settings: Settings, children: Children) -> None:
        with Supervisor(settings, 2, command=children.command("stubborn")) as supervisor:
            poll_until(supervisor, lambda: len(children.started()) == 2, "two children")
            supervisor.kill()
            wait_until(lambda: supervisor.poll(0.01) is not None, "the end")
        assert supervisor.stop() == EX_KILLED

    def test_it_can_be_drained_from_another_thread(self, settings: Settings, children: Children) -> None:
        supervisor = Supervisor(settings, 1, command=children.command())
        codes: list[int] = []

        def drive() -> None:
            supervisor.start()
            while (code := supervisor.poll(None)) is None:
                pass
            codes.append(code)
            supervisor.stop()

        thread = threading.Thread(target=drive)
        thread.start()
        wait_until(children.started, "a child")
        supervisor.drain()
        thread.join(20)
        assert codes == [EX_OK]


class TestRoll:
    def test_all_are_replaced_and_never_two_are_away(self, settings: Settings, children: Children) -> None:
        with Supervisor(settings, 3, command=children.command(), settle_s=0.05) as supervisor:
            poll_until(supervisor, lambda: len(children.started()) == 3, "three children")
            before, fewest = roll_all(supervisor, children)
            assert fewest >= 2
            assert not before & set(supervisor.pids())
            assert supervisor.restarts == 0
        assert children.noted("drained") >= before

    def test_one_that_does_not_go_is_killed_and_that_is_no_failure_of_the_fleet(self, children: Children) -> None:
        settings = load_settings(grace_s=0.5)
        supervisor = Supervisor(settings, 1, command=children.command("stubborn-first"), settle_s=0.05)
        supervisor.start()
        poll_until(supervisor, children.started, "a child")
        supervisor.roll()
        poll_until(supervisor, lambda: len(children.started()) == 2, "a replacement")
        assert supervisor.stop() == EX_OK

    def test_while_one_is_on_its_way_out_the_next_is_left_alone_and_no_one_is_told_twice(
        self, settings: Settings, children: Children
    ) -> None:
        with Supervisor(settings, 2, command=children.command("stubborn"), settle_s=0.02) as supervisor:
            poll_until(supervisor, lambda: len(children.started()) == 2, "two children")
            supervisor.roll()
            poll_until(supervisor, children.told, "one is told")
            for _ in range(5):
                supervisor.poll(0.02)  # settled for long
            assert len(children.told()) == 1
            supervisor.drain()
            poll_until(supervisor, lambda: len(children.told()) == 2, "both are told")
            assert set(children.told().values()) == {1}
            supervisor.kill()


class TestMetrics:
    def test_counts_add_up_and_outlive_their_process(self, children: Children) -> None:
        settings = load_settings(metrics_port=free_port())
        command = [sys.executable, "-c", COUNTING_CHILD, str(children.directory)]
        with Supervisor(settings, 2, command=command, collectors=[Constant()], policy=QUICK) as supervisor:
            poll_until(supervisor, lambda: len(children.noted("counted")) == 2, "two children")
            told = scrape(settings)
            assert told["jobs_total"] == 10
            assert told["from_elsewhere"] == 42
            assert told["rerank_supervisor_processes"] == 2
            assert told["rerank_supervisor_restarts_total"] == 0
            os.kill(supervisor.pids()[0], signal.SIGKILL)
            poll_until(supervisor, lambda: len(children.noted("counted")) == 3, "a replacement")
            told = scrape(settings)
            assert told["jobs_total"] == 15
            assert told["rerank_supervisor_restarts_total"] == 1
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", settings.metrics_port)):
            pass

    def test_nobody_counts_for_a_port_that_is_0(self, children: Children) -> None:
        with Supervisor(load_settings(), 1, command=children.command()) as supervisor:
            poll_until(supervisor, children.started, "a child")
            (environ,) = children.started().values()
            assert supervisor.counts is None
        assert environ["FLEET_COUNTS_FD"] == ""

    def test_without_memory_to_count_in_the_fleet_runs_uncounted(
        self, children: Children, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def refuse(*_: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "ftruncate", refuse)
        settings = load_settings(metrics_port=free_port())
        with Supervisor(settings, 1, command=children.command()) as supervisor:
            poll_until(supervisor, children.started, "a child")
            assert scrape(settings)["rerank_supervisor_processes"] == 1
        assert "metrics of worker processes are off" in caplog.text

    def test_a_port_that_is_taken_is_told_before_anything_is_started(self, children: Children) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            supervisor = Supervisor(load_settings(metrics_port=taken.getsockname()[1]), 1, command=children.command())
            with pytest.raises(ConfigurationError, match="RERANK_METRICS_PORT"):
                supervisor.start()
        assert supervisor.pids() == []
