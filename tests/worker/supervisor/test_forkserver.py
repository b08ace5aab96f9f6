"""Workers that are forked: the supervisor keeps all its promises, and outlives whatever happens to the fork server."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from rerank_shared.settings import Settings, load_settings
from rerank_worker.supervisor.child import Launch
from rerank_worker.supervisor.forkserver_client import EX_UNKNOWN, ForkServer, can_fork
from rerank_worker.supervisor.supervisor import EX_CONFIG, EX_KILLED, EX_OK, Supervisor
from rerank_worker.supervisor.wakeup import Wakeup
from support.supervised import QUICK, Children, lives, poll_until, roll_all
from support.waiting import wait_until

pytestmark = pytest.mark.skipif(not can_fork(load_settings()), reason="processes are forked on Linux only")

Start = Callable[..., Supervisor]


@pytest.fixture
def children(tmp_path: Path) -> Children:
    return Children(tmp_path)


@pytest.fixture
def settings() -> Settings:
    return load_settings(grace_s=20.0)


@pytest.fixture
def supervised(settings: Settings, children: Children) -> Start:
    """Make a supervisor of two processes that are forked."""

    def make(mode: str = "good", command: str = "good", processes: int = 2, **arguments: Any) -> Supervisor:
        given: dict[str, Any] = {"settings": settings, "policy": QUICK, "settle_s": 0.05} | arguments
        return Supervisor(
            processes=processes,
            command=children.command(command),
            forkserver_command=children.forkserver(mode),
            **given,
        )

    return make


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, children: Children) -> Iterator[None]:
    """Each test ends without processes, descriptors and temporary directories of its supervisors."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    before, descriptors = set(psutil.Process().children()), psutil.Process().num_fds()
    yield
    assert set(psutil.Process().children()) <= before
    assert psutil.Process().num_fds() == descriptors
    assert list(temporary.iterdir()) == []
    wait_until(lambda: not any(map(lives, children.started())), "all children end")


def forkserver_of(supervisor: Supervisor) -> psutil.Process:
    """Return the parent of all processes of a supervisor."""
    parents = {psutil.Process(pid).ppid() for pid in supervisor.pids()}
    assert len(parents) == 1
    return psutil.Process(parents.pop())


def poll_until_started(supervisor: Supervisor, children: Children, count: int) -> None:
    def all_there() -> bool:
        return len(children.started()) >= count and set(supervisor.pids()) <= set(children.started())

    poll_until(supervisor, all_there, f"{count} children")


class TestStart:
    def test_each_process_has_its_own_name_core_and_group_and_one_parent_for_all(
        self, children: Children, supervised: Start
    ) -> None:
        with supervised(processes=3, cores=[4, 9, 11], settings=load_settings(pin=True)) as supervisor:
            assert supervisor.processes == 3
            poll_until(supervisor, lambda: len(supervisor.pids()) == 3 == len(children.started()), "three children")
            pids = supervisor.pids()
            environs = [children.started()[pid] for pid in pids]
            assert forkserver_of(supervisor).ppid() == os.getpid()
            assert [os.getpgid(pid) for pid in pids] == pids
        assert [environ["FLEET_WORKER_CORE"] for environ in environs] == ["4", "9", "11"]
        assert len({environ["FLEET_WORKER_NAME"] for environ in environs}) == 3
        assert all(environ["OMP_NUM_THREADS"] == "1" for environ in environs)
        assert children.noted("drained") == set(pids)

    def test_a_child_keeps_no_descriptor_of_the_others_or_of_the_forkserver(
        self, children: Children, supervised: Start
    ) -> None:
        """One that did would hide the fork server's death from the supervisor."""
        with supervised(processes=3) as supervisor:
            poll_until_started(supervisor, children, 3)
            last = supervisor.pids()[2]
            told = Path(f"/proc/{last}/fd")
            kept = {path.name: os.readlink(path) for path in told.iterdir()}
        parent_fd = children.started()[last]["FLEET_PARENT_FD"]
        assert set(kept) == {"0", "1", "2", parent_fd}, kept

    @pytest.mark.parametrize(
        "change", [{"preload": False}, {"threads": 2}, {"device": "cuda"}, {"device": "tensorrt"}], ids=str
    )
    def test_settings_that_leave_nothing_to_share_start_each_afresh(
        self, children: Children, supervised: Start, change: dict[str, Any]
    ) -> None:
        settings = load_settings(**change)
        assert not can_fork(settings)
        with supervised(settings=settings) as supervisor:
            assert len(supervisor.pids()) == 2
            assert {psutil.Process(pid).ppid() for pid in supervisor.pids()} == {os.getpid()}
            poll_until_started(supervisor, children, 2)
        assert not children.noted("forkserver")

    def test_the_runtime_reports_nothing_to_its_makers_unless_the_operator_says_so(self) -> None:
        """It does so from a thread, with which nothing can be forked."""
        launch = Launch(load_settings(), (), 7)
        assert launch.environ({})["ORT_DISABLE_TELEMETRY"] == "1"
        assert launch.environ({"ORT_DISABLE_TELEMETRY": "0"})["ORT_DISABLE_TELEMETRY"] == "0"

    def test_a_system_without_pidfds_starts_each_afresh(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_: int) -> int:
            raise PermissionError

        monkeypatch.setattr(os, "pidfd_open", refuse)
        assert not can_fork(load_settings())

    def test_a_forkserver_with_threads_forks_nothing_and_each_is_started_afresh(
        self, children: Children, supervised: Start, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level("INFO", "rerank_worker"), supervised("forkserver-threads") as supervisor:
            poll_until(supervisor, lambda: len(supervisor.pids()) == 2, "two children")
            assert {psutil.Process(pid).ppid() for pid in supervisor.pids()} == {os.getpid()}
            poll_until_started(supervisor, children, 2)
            os.kill(supervisor.pids()[0], signal.SIGKILL)
            poll_until_started(supervisor, children, 3)
            # That it could not fork is nobody's death.
            assert supervisor.restarts == 1
        assert len(children.noted("forkserver")) == 1
        assert caplog.text.count("workers share no memory") == 1


class TestDeath:
    def test_one_that_is_killed_is_replaced_from_the_same_forkserver(
        self, children: Children, supervised: Start, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level("INFO", "rerank_worker"), supervised() as supervisor:
            poll_until_started(supervisor, children, 2)
            victim, other = supervisor.pids()
            forkserver = forkserver_of(supervisor)
            os.kill(victim, signal.SIGKILL)
            while supervisor.restarts == 0:
                supervisor.poll(None)  # would sleep for ever if nothing woke it
            poll_until_started(supervisor, children, 3)
            assert other in supervisor.pids()
            assert victim not in supervisor.pids()
            assert forkserver_of(supervisor) == forkserver
        assert f"pid={victim} code=-9 " in caplog.text
        assert len(children.noted("forkserver")) == 1

    def test_its_status_is_told(self, children: Children, supervised: Start, caplog: pytest.LogCaptureFixture) -> None:
        with (
            caplog.at_level("INFO", "rerank_worker.supervisor.supervisor"),
            supervised("crash", processes=1) as supervisor,
        ):
            poll_until(supervisor, lambda: supervisor.restarts >= 4, "four deaths")
        deaths = [record.getMessage() for record in caplog.records if "worker died" in record.getMessage()]
        assert all(" code=3 " in death for death in deaths)
        assert [float(death.rpartition("=")[2]) for death in deaths[:4]] == [0.01, 0.02, 0.04, 0.05]

    def test_one_that_refuses_ends_all_with_78(self, children: Children, supervised: Start) -> None:
        supervisor = supervised("refuse-second", processes=3)
        supervisor.start()
        wait_until(lambda: supervisor.poll(0.01) is not None, "the end")
        assert supervisor.restarts == 0
        assert supervisor.stop() == EX_CONFIG

    def test_a_forkserver_that_refuses_ends_all_with_78(self, children: Children, supervised: Start) -> None:
        supervisor = supervised("forkserver-refuses")
        supervisor.start()
        wait_until(lambda: supervisor.poll(0.01) is not None, "the end")
        assert supervisor.stop() == EX_CONFIG
        assert not children.started()

    def test_a_forkserver_that_dies_before_it_forks_is_started_again_but_ever_later(
        self, children: Children, supervised: Start, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level("INFO", "rerank_worker"), supervised("forkserver-dies", processes=1) as supervisor:
            poll_until(supervisor, lambda: supervisor.restarts == 3, "three deaths")
            (children.directory / "well").touch()
            poll_until_started(supervisor, children, 1)
        assert "fork server ended pid=" in caplog.text
        deaths = [record.getMessage() for record in caplog.records if "worker died" in record.getMessage()]
        assert [float(death.rpartition("=")[2]) for death in deaths[:3]] == [0.01, 0.02, 0.04]
        assert all("pid=None code=3 " in death for death in deaths)


class TestForkServerKilled:
    def test_its_processes_go_on_and_later_ones_come_from_another(
        self, children: Children, supervised: Start, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level("INFO", "rerank_worker"), supervised(processes=3) as supervisor:
            poll_until_started(supervisor, children, 3)
            before = supervisor.pids()
            first = forkserver_of(supervisor)
            first.kill()
            poll_until(supervisor, lambda: not first.is_running(), "it is reaped")
            assert supervisor.pids() == before
            assert all(map(lives, before))
            os.kill(before[0], signal.SIGKILL)
            while supervisor.restarts == 0:
                supervisor.poll(None)  # would sleep for ever if nothing woke it
            poll_until_started(supervisor, children, 4)
            assert set(before[1:]) < set(supervisor.pids())
            assert supervisor.restarts == 1
        assert f"fork server ended pid={first.pid} code=-9" in caplog.text
        assert f"pid={before[0]} code={EX_UNKNOWN} " in caplog.text
        assert len(children.noted("forkserver")) == 2
        assert children.noted("drained") == set(children.started()) - {before[0]}

    def test_its_processes_drain_and_are_waited_for(self, children: Children, supervised: Start) -> None:
        supervisor = supervised()
        supervisor.start()
        poll_until_started(supervisor, children, 2)
        pids = set(supervisor.pids())
        forkserver_of(supervisor).kill()
        assert supervisor.stop() == EX_OK
        assert children.noted("drained") == pids
        assert not any(map(lives, pids))

    def test_one_of_its_processes_that_does_not_drain_is_killed(self, children: Children, supervised: Start) -> None:
        supervisor = supervised("stubborn", settings=load_settings(grace_s=0.5))
        supervisor.start()
        poll_until_started(supervisor, children, 2)
        forkserver_of(supervisor).kill()
        assert supervisor.stop() == EX_KILLED
        assert len(children.told()) == 2

    def test_while_it_loads_another_is_started(self, children: Children, supervised: Start) -> None:
        with supervised("forkserver-loads") as supervisor:
            poll_until(supervisor, lambda: children.noted("forkserver"), "a fork server")
            (pid,) = children.noted("forkserver")
            os.kill(pid, signal.SIGKILL)
            poll_until(supervisor, lambda: len(children.noted("forkserver")) == 2, "another fork server")
            assert supervisor.pids() == []
            (children.directory / "loaded").touch()
            poll_until_started(supervisor, children, 2)

    def test_while_it_forks_nobody_is_lost(self, children: Children, supervised: Start) -> None:
        """The process that was just made is met although its parent could not tell of it; the other one is replaced."""
        with supervised("forkserver-dies-forking") as supervisor:
            poll_until_started(supervisor, children, 2)
            parents = {psutil.Process(pid).ppid() for pid in supervisor.pids()}
            assert len(parents) == 2
            assert len(children.noted("forkserver")) == 2
            assert set(supervisor.pids()) == set(children.started())
            assert supervisor.restarts == 1


class TestStop:
    def test_one_that_does_not_drain_is_killed_after_the_grace(self, children: Children, supervised: Start) -> None:
        supervisor = supervised("stubborn", settings=load_settings(grace_s=0.5))
        supervisor.start()
        poll_until_started(supervisor, children, 2)
        assert supervisor.stop() == EX_KILLED
        # A second SIGTERM would end a worker cold.
        assert set(children.told().values()) == {1}

    def test_kill_does_not_wait(self, children: Children, supervised: Start) -> None:
        with supervised("stubborn") as supervisor:
            poll_until_started(supervisor, children, 2)
            supervisor.kill()
            wait_until(lambda: supervisor.poll(0.01) is not None, "the end")
        assert supervisor.stop() == EX_KILLED

    @pytest.mark.parametrize(("how", "status"), [("drain", EX_OK), ("kill", EX_KILLED)])
    def test_a_forkserver_that_still_loads_is_not_waited_for(
        self, children: Children, supervised: Start, how: str, status: int
    ) -> None:
        supervisor = supervised("forkserver-loads", settings=load_settings(grace_s=3600))
        supervisor.start()
        poll_until(supervisor, lambda: children.noted("forkserver"), "a fork server")
        getattr(supervisor, how)()
        wait_until(lambda: supervisor.poll(0.01) is not None, "the end")
        assert supervisor.stop() == status
        assert not children.started()

    def test_while_a_forkserver_loads_the_supervisor_sleeps(self, children: Children, supervised: Start) -> None:
        with supervised("forkserver-loads") as supervisor:
            supervisor.poll()
            assert supervisor._sleep_s(None) is None

    @pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
    def test_a_process_that_is_told_to_end_before_it_lives_ends_as_soon_as_it_does(
        self, children: Children, signum: signal.Signals
    ) -> None:
        """The fork server is not ended for it where it has others to tell of."""
        pipe, wakeup = os.pipe(), Wakeup()
        forkserver = ForkServer(
            children.forkserver(), os.environ | {"FLEET_PARENT_FD": str(pipe[0])}, [pipe[0]], wakeup
        )
        first = forkserver.fork({})
        assert first is not None
        wait_until(lambda: first.poll() is None and first.pid, "a process")
        parent = psutil.Process(first.pid).parent()
        assert parent is not None
        parent.suspend()
        second = forkserver.fork({})
        assert second is not None
        second.send_signal(signum)
        parent.resume()
        wait_until(lambda: second.poll() is not None, "its end")
        # A handler may be in place already.
        assert second.poll() in (-signum, 0)
        first.kill()
        assert wait_until(first.poll, "the end of the other") == -signal.SIGKILL
        forkserver.close()
        wakeup.close()
        for fd in pipe:
            os.close(fd)


class TestRoll:
    def test_all_are_replaced_one_by_one_from_a_forkserver_that_loads_anew(
        self, children: Children, supervised: Start
    ) -> None:
        with supervised(processes=3) as supervisor:
            poll_until_started(supervisor, children, 3)
            old = forkserver_of(supervisor)
            before, fewest = roll_all(supervisor, children)
            assert fewest >= 2
            assert not before & set(supervisor.pids())
            assert supervisor.restarts == 0
            assert forkserver_of(supervisor) != old
            poll_until(supervisor, lambda: not old.is_running(), "the old fork server ends")
        assert children.noted("drained") >= before
        assert len(children.noted("forkserver")) == 2

    def test_statuses_of_the_old_forkserver_s_processes_are_still_told(
        self, children: Children, supervised: Start, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level("INFO", "rerank_worker"), supervised(settle_s=3600) as supervisor:
            poll_until_started(supervisor, children, 2)
            victim = supervisor.pids()[0]
            supervisor.roll()
            supervisor.poll()
            os.kill(victim, signal.SIGKILL)
            poll_until_started(supervisor, children, 3)
        assert f"pid={victim} code=-9 " in caplog.text
        assert len(children.noted("forkserver")) == 2
