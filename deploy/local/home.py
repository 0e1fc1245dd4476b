"""$GATEWAY_HOME: what an installation keeps beside its servers' data, and the lock that one process holds."""

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.local import embedded

ENDING_LIMIT_S = 30.0


class InUse(Exception):
    """The home belongs to a running instance; the message says to which."""


class Home:
    """An opened home. Its lock is shared with all child processes, so it is free when the last one has ended."""

    def __init__(self, folder: Path) -> None:
        """Make the folder if need be and lock it; raise OSError where it cannot be written, `InUse` where it is taken."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self.lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._take()
        except InUse:
            os.close(self.lock)
            raise

    def secret(self, name: str, fresh: str) -> str:
        """Read a kept secret, or keep `fresh` as that secret from now on."""
        path = self.folder / name
        if not path.exists():
            self.write_private(name, fresh + "\n")
        return path.read_text().strip()

    def write_private(self, name: str, text: str) -> Path:
        """Write a file that only its owner can read, whole or not at all."""
        path, fresh = self.folder / name, self.folder / f"{name}.new"
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        return path

    def port(self, name: str) -> int:
        """Choose a loopback port: the one of the last start where it is free, else another, remembered."""
        ports = self._ports()
        if name not in ports or problem_with_port("127.0.0.1", ports[name]):
            ports[name] = embedded.free_port()
            self.write_private("state", json.dumps({"ports": ports}) + "\n")
        return ports[name]

    def _ports(self) -> dict[str, int]:
        try:
            known = json.loads((self.folder / "state").read_text())["ports"]
            return {str(name): int(port) for name, port in known.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _take(self) -> None:
        """Lock; wait for the children of an instance that was killed, which end by themselves."""
        deadline = time.monotonic() + ENDING_LIMIT_S
        while not self._try():
            holder = self._holder()
            if holder is None or _is_alive(holder) or time.monotonic() > deadline:
                who = f" (process {holder})" if holder else ""
                raise InUse(f"GATEWAY_HOME: another instance{who} uses {self.folder}.")
            time.sleep(0.1)
        os.ftruncate(self.lock, 0)
        os.pwrite(self.lock, f"{os.getpid()}\n".encode(), 0)

    def _try(self) -> bool:
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _holder(self) -> int | None:
        text = os.pread(self.lock, 20, 0).strip()
        return int(text) if text.isdigit() else None


def problem_with_port(host: str, port: int) -> str | None:
    """Say why a server could not listen there, None when it could."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with _listener(family, kind, protocol) as probe:
                probe.bind(address)
    except UnicodeError:
        return f"{host!r} is not a host name."
    except OSError as error:
        reason = "another program uses it" if error.errno == errno.EADDRINUSE else error.strerror
        return f"cannot listen on {host}:{port}: {reason}."
    return None


@contextlib.contextmanager
def _listener(family: int, kind: int, protocol: int) -> Iterator[socket.socket]:
    with socket.socket(family, kind, protocol) as probe:
        # A port whose last connections are still fading away can be listened on.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        yield probe


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
