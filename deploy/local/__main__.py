"""`script/server`: starts all that the gateway consists of, on one machine, and keeps it running."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path

from app.config import InvalidSettings, Settings
from deploy.local import banner, command, servers
from deploy.local.children import Process, spawn
from deploy.local.embedded import DidNotStart
from deploy.local.home import Home, InUse, problem_with_port
from deploy.local.supervisor import Child, StopAsked, Supervisor, say

ROOT = Path(__file__).resolve().parents[2]
READY_LIMIT_S = 60.0
DRAIN_LIMIT_S = 140.0
"""gunicorn kills its workers after 130 s."""
WORKER_STOP_LIMIT_S = 20.0
"""It ends within 10 s."""


class CannotStart(Exception):
    """Something is wrong that only the person who starts us can change; one sentence each."""


def main() -> int:
    """Run until asked to stop; the exit code is 0 then, and 1 when the start failed."""
    supervisor = Supervisor()
    try:
        start(dict(os.environ), supervisor)
        supervisor.watch()
    except StopAsked:
        pass
    except (CannotStart, DidNotStart) as problem:
        say(str(problem))
        return 1
    finally:
        supervisor.stop()
    return 0


def start(environ: dict[str, str], supervisor: Supervisor) -> None:
    """Check everything, then start everything, in the order in which it depends on each other."""
    environ["GATEWAY_ENV"] = environ.get("GATEWAY_ENV", "").strip() or "development"
    environ["GATEWAY_HOME"] = environ.get("GATEWAY_HOME", "").strip() or str(ROOT / "var")
    settings, home = check(environ)
    metrics_port = settings.metrics_port or home.port("metrics")
    addresses = servers.start(settings, home, supervisor)
    environ = servers.environment(environ, settings, home, addresses, metrics_port)
    command.keep(home, environ, os.environ)
    echo_url = _start_echo(home, supervisor) if settings.environment == "development" else "none"
    made = prepare(environ, settings, echo_url)
    banner.keep_secrets(home, made, banner.address(settings))
    _start_gateway(environ, home, supervisor)
    _await_ready(settings, supervisor)
    supervisor.started()
    for line in banner.lines(settings, home, made, metrics_port):
        print(line, flush=True)


def check(environ: Mapping[str, str]) -> tuple[Settings, Home]:
    """Read the settings and open the home; raise `CannotStart` with all that is wrong."""
    try:
        settings = Settings.read(environ, servers_required=False)
    except InvalidSettings as invalid:
        raise CannotStart("\n".join(invalid.problems)) from invalid
    problems = [_port_problem("PORT", settings.host, settings.port)]
    if settings.metrics_port:
        problems.append(_port_problem("METRICS_PORT", "127.0.0.1", settings.metrics_port))
    try:
        home = Home(settings.home)
    except InUse as in_use:
        raise CannotStart(str(in_use)) from in_use  # Then its ports are taken too: no news.
    except OSError as error:
        problems.append(f"GATEWAY_HOME: cannot write in {settings.home}: {error.strerror}.")
    if any(problems):
        raise CannotStart("\n".join(problem for problem in problems if problem))
    return settings, home


def _port_problem(name: str, host: str, port: int) -> str | None:
    problem = problem_with_port(host, port)
    return f"{name}: {problem}" if problem else None


def prepare(environ: Mapping[str, str], settings: Settings, echo_url: str) -> banner.Made:
    """Migrate, apply the configuration file, make what a first start needs."""
    command = ["-m", "deploy.local.prepare", echo_url]
    if settings.config_file:
        command.append(str(settings.config_file))
    process = spawn([sys.executable, *command], signal.SIGKILL, cwd=ROOT, env=environ, stdout=subprocess.PIPE)
    answer, _ = process.communicate()
    if process.returncode:
        raise CannotStart("The start failed: the database or the configuration could not be prepared, see above.")
    return banner.Made.of(json.loads(answer), settings)


def _start_echo(home: Home, supervisor: Supervisor) -> str:
    port = home.port("echo")
    launch = _program(["-m", "deploy.local.echo", str(port)], signal.SIGKILL, dict(os.environ), home)
    supervisor.add(Child(name="echo", launch=launch, process=launch()))
    return f"http://127.0.0.1:{port}"


def _start_gateway(environ: Mapping[str, str], home: Home, supervisor: Supervisor) -> None:
    worker = _program(["worker.py"], signal.SIGTERM, environ, home)
    supervisor.add(Child(name="worker", launch=worker, process=worker(), stop_limit_s=WORKER_STOP_LIMIT_S))
    # Without its parent gunicorn quits at once: the servers go away too, so there is nothing to drain into.
    web = _program(["-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "wsgi:app"], signal.SIGQUIT, environ, home)
    supervisor.add(
        Child(name="web", launch=web, process=web(), stop_limit_s=DRAIN_LIMIT_S, hurry_signal=signal.SIGQUIT)
    )


def _program(
    arguments: list[str], dies_by: signal.Signals, environ: Mapping[str, str], home: Home
) -> Callable[[], Process]:
    def launch() -> Process:
        return spawn([sys.executable, *arguments], dies_by, cwd=ROOT, env=environ, pass_fds=(home.lock,))

    return launch


def _await_ready(settings: Settings, supervisor: Supervisor) -> None:
    """Wait until the gateway takes calls, starting again what dies meanwhile."""
    deadline = time.monotonic() + READY_LIMIT_S
    while not _is_ready(banner.reachable(settings.host), settings.port):
        if time.monotonic() > deadline:
            raise CannotStart(f"The gateway was not ready after {READY_LIMIT_S:.0f} s; the lines above may say why.")
        supervisor.look_after()
        time.sleep(0.05)


def _is_ready(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
