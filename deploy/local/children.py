"""Child processes that cannot outlive their parent, and the end of whole families of them."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

Process = subprocess.Popen[bytes]

TIED = str(Path(__file__).with_name("tied.py"))


@dataclass(frozen=True, slots=True)
class User:
    """Whom a program runs as when that is not the parent's own user."""

    uid: int
    gid: int


def spawn(
    command: Sequence[str],
    dies_by: signal.Signals,
    *,
    user: User | None = None,
    log: Path | None = None,
    **options: Any,
) -> Process:
    """Start a program in a session of its own, so that Ctrl-C reaches only the parent, which stops it in order.

    It gets `dies_by` when the parent's main thread ends: call this from the main thread. Output
    goes to the end of `log`, or where the parent's goes.
    """
    who = f"{user.uid}:{user.gid}" if user else "-"
    shim = [sys.executable, "-I", "-S", TIED, str(int(dies_by)), str(os.getpid()), who]
    with contextlib.ExitStack() as stack:
        if log:
            options["stdout"] = options["stderr"] = stack.enter_context(log.open("ab"))
        return subprocess.Popen([*shim, *command], stdin=subprocess.DEVNULL, start_new_session=True, **options)


def kill_family(leader: int) -> None:
    """Kill what is left of the session that a dead child led."""
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == leader:
                os.kill(pid, signal.SIGKILL)
