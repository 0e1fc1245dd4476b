"""Keeps the child processes running, and ends them in order."""

import contextlib
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

from deploy.local.children import Process, kill_family

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
STEADY_AFTER_S = 60.0
HURRY_LIMIT_S = 2.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopAsked(BaseException):
    """Somebody wants the gateway to stop while it is still starting."""


@dataclass(slots=True, kw_only=True)
class Child:
    """One program that shall always run. `launch` starts it anew and does not wait."""

    name: str
    launch: Callable[[], Process]
    process: Process
    stop_signal: signal.Signals = signal.SIGTERM
    hurry_signal: signal.Signals = signal.SIGTERM
    stop_limit_s: float = 15.0
    started_at: float = 0.0
    delay_s: float = FIRST_DELAY_S
    due_at: float | None = None


class Supervisor:
    """Starts again what has died, until it is asked to stop. Lives in the main thread."""

    def __init__(self) -> None:
        self._children: list[Child] = []
        self._asked = 0
        self._starting = True
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)
        # Each signal writes a byte there, so waiting for the reader is waiting for signals.
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def add(self, child: Child) -> None:
        """Take charge of a child that runs already. Stopping goes from the last one to the first."""
        child.started_at = time.monotonic()
        self._children.append(child)

    def started(self) -> None:
        """From now on a wish to stop ends `watch` instead of raising `StopAsked`."""
        self._starting = False

    def watch(self) -> None:
        """Look after the children until somebody asks to stop."""
        while not self._asked:
            self.look_after()
            self._wait(min([child.due_at for child in self._children if child.due_at], default=None))

    def look_after(self) -> None:
        """Start again what is due, and plan a new start for what has died."""
        now = time.monotonic()
        for child in self._children:
            if child.due_at is None and child.process.poll() is not None:
                self._plan(child, now, _how_it_ended(child.process))
            elif child.due_at is not None and child.due_at <= now:
                self._launch(child, now)

    def stop(self) -> None:
        """Stop each child and whatever it has started, the last one first; a second signal hurries. Ends the supervisor."""
        self._starting = False
        hurry_at = 2 if self._asked else 1
        for child in reversed(self._children):
            self._stop_child(child, hurry_at)
            kill_family(child.process.pid)
        self._children.clear()
        signal.set_wakeup_fd(-1)
        self._reader.close()
        self._writer.close()

    def _launch(self, child: Child, now: float) -> None:
        try:
            child.process = child.launch()
        except OSError as error:
            self._plan(child, now, f"cannot be started: {error}")
        else:
            child.started_at, child.due_at = now, None

    def _plan(self, child: Child, now: float, what_happened: str) -> None:
        kill_family(child.process.pid)  # Its own children would hold its port, or do its work twice.
        if now - child.started_at >= STEADY_AFTER_S:
            child.delay_s = FIRST_DELAY_S
        child.due_at = now + child.delay_s
        say(f"{child.name} {what_happened}; starting it again in {child.delay_s:g} s.")
        child.delay_s = min(child.delay_s * 2, LONGEST_DELAY_S)

    def _stop_child(self, child: Child, hurry_at: int) -> None:
        if child.process.poll() is not None:
            return
        child.process.send_signal(child.stop_signal)
        deadline, hurried = time.monotonic() + child.stop_limit_s, False
        while child.process.poll() is None:
            if self._asked >= hurry_at and not hurried:
                hurried = True
                child.process.send_signal(child.hurry_signal)
                deadline = min(deadline, time.monotonic() + HURRY_LIMIT_S)
            if time.monotonic() >= deadline:
                child.process.kill()
                child.process.wait()
                return
            self._wait(deadline)

    def _wait(self, until: float | None) -> None:
        """Sleep until a signal comes (a child's death is one) or until the time."""
        timeout = None if until is None else max(until - time.monotonic(), 0)
        if select.select([self._reader], [], [], timeout)[0]:
            self._reader.recv(4096)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._asked += 1
        if self._starting:
            self._starting = False
            raise StopAsked


def say(line: str) -> None:
    """Tell whoever started us; go on when nobody listens any more."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def _how_it_ended(process: Process) -> str:
    if process.returncode >= 0:
        return f"ended with code {process.returncode}"
    return f"was killed by {signal.Signals(-process.returncode).name}"
