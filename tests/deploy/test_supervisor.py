"""The supervisor with small programs as children."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.local import supervisor
from deploy.local.children import Process, spawn
from deploy.local.supervisor import Child, Supervisor
from tests.gateway_process import eventually


@pytest.fixture
def boss() -> Iterator[Supervisor]:
    """A supervisor that is done with starting; the signals are this process's again afterwards."""
    handlers = {number: signal.getsignal(number) for number in (*supervisor.STOP_SIGNALS, signal.SIGCHLD)}
    boss = Supervisor()
    boss.started()
    yield boss
    boss.stop()
    for number, handler in handlers.items():
        signal.signal(number, handler)


def child(command: str, **changes: object) -> Child:
    """A child that runs a line of shell."""

    def launch() -> Process:
        return spawn(["/bin/bash", "-c", command], signal.SIGKILL)

    return Child(name="x", launch=launch, process=launch(), **changes)


def looked_after(boss: Supervisor, capfd: pytest.CaptureFixture[str], times: int) -> list[str]:
    """Look after the children until that many ends were noticed; answer what was said."""
    said: list[str] = []

    def enough() -> bool:
        boss.look_after()
        said.extend(capfd.readouterr().err.splitlines())
        return len(said) >= times

    eventually(enough)
    return said


def test_the_pause_before_a_new_start_doubles(boss, capfd):
    boss.add(child("exit 3"))

    said = looked_after(boss, capfd, 3)

    assert said == [f"x ended with code 3; starting it again in {pause} s." for pause in ("0.5", "1", "2")]


def test_the_pause_has_a_limit(boss, capfd):
    dying = child("kill -9 $$", delay_s=20.0)
    boss.add(dying)

    assert looked_after(boss, capfd, 1) == ["x was killed by SIGKILL; starting it again in 20 s."]
    assert dying.delay_s == 30.0


def test_the_pause_is_short_again_after_a_steady_life(boss, capfd, monkeypatch):
    monkeypatch.setattr(supervisor, "STEADY_AFTER_S", 0.0)
    boss.add(child("exit 1", delay_s=30.0))

    assert looked_after(boss, capfd, 1) == ["x ended with code 1; starting it again in 0.5 s."]


def test_what_a_dead_child_has_started_dies_before_it_is_started_again(boss, capfd, tmp_path):
    boss.add(child(f"sleep 100 & echo $! >{tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid", delay_s=20.0))

    looked_after(boss, capfd, 1)

    assert eventually(lambda: not _lives(int((tmp_path / "pid").read_text())))


def test_a_program_that_is_missing_is_tried_again(boss, capfd):
    def missing() -> Process:
        raise FileNotFoundError("no such program")

    dying = child("exit 1", delay_s=0.01)
    dying.launch = missing
    boss.add(dying)

    said = looked_after(boss, capfd, 2)

    assert said[1] == "x cannot be started: no such program; starting it again in 0.02 s."


def test_the_last_child_is_stopped_first_and_a_deaf_one_is_killed(boss, tmp_path):
    order = tmp_path / "order"
    ready = f"touch {tmp_path}/$$; while :; do sleep 0.01; done"
    children = [
        child(f"trap 'echo first >>{order}; exit' TERM; {ready}"),
        child(f"trap 'echo second >>{order}; exit' TERM; {ready}"),
        child(f"trap '' TERM; {ready}", stop_limit_s=0.2),
    ]
    for each in children:
        boss.add(each)
    eventually(lambda: len(list(tmp_path.iterdir())) == 3)

    boss.stop()

    assert order.read_text().split() == ["second", "first"]
    assert children[2].process.returncode == -signal.SIGKILL


def test_a_signal_ends_the_watch(boss):
    boss.add(child(f"kill -TERM {os.getpid()}; sleep 100"))

    boss.watch()  # Without the signal it would watch for ever.


def test_a_tied_program_dies_with_a_killed_parent(tmp_path):
    script = f"""
import signal, sys
from pathlib import Path
from deploy.local.children import spawn
Path({str(tmp_path / "pid")!r}).write_text(str(spawn(["/bin/sleep", "100"], signal.SIGTERM).pid))
signal.pause()
"""
    parent = spawn([sys.executable, "-c", script], signal.SIGKILL, cwd=Path(__file__).parents[2])
    pid = int(eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    eventually(lambda: psutil.Process(pid).name() == "sleep")

    parent.kill()
    parent.wait()

    assert eventually(lambda: not _lives(pid))


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
