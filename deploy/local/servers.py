"""The servers an installation needs, embedded where the settings give no address, and the environment of its programs."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from app.config import Settings
from deploy.local import embedded
from deploy.local.children import Process
from deploy.local.home import Home
from deploy.local.supervisor import Child, Supervisor

LOGINS = {"DATABASE_URL": "gateway_app", "DATABASE_INGEST_URL": "gateway_ingest"}
ROLES = (embedded.OWNER, *LOGINS.values())
CONNECTIONS_PER_PROCESS = 20
FOREIGN = ("GUNICORN_", "FLASK_", "PROMETHEUS_MULTIPROC_DIR")
"""Variables that would change how our programs run and are no setting."""


def start(settings: Settings, home: Home, supervisor: Supervisor) -> dict[str, str]:
    """Start what has no address in the settings; give the addresses of what was started, by setting."""
    addresses: dict[str, str] = {}
    if not settings.database_url:
        addresses |= _start_postgres(settings, home, supervisor)
    if not settings.redis_url:
        addresses |= _start_valkey(home, supervisor)
    return addresses


def _start_postgres(settings: Settings, home: Home, supervisor: Supervisor) -> dict[str, str]:
    folder, port = home.folder / "postgres", home.port("postgres")
    passwords = {role: home.secret(f"{role}.password", embedded.new_password()) for role in ROLES}
    connections = max(100, CONNECTIONS_PER_PROCESS * (settings.web_workers + 2))
    extra = ("-c", f"max_connections={connections}")
    server = embedded.start_postgres(
        folder, port, password=passwords[embedded.OWNER], extra=extra, pass_fds=(home.lock,)
    )

    def launch() -> Process:
        return embedded.launch_postgres(folder, port, extra=extra, pass_fds=(home.lock,))

    _watch(supervisor, server, launch)
    at = f"127.0.0.1:{port}/{embedded.DATABASE}"
    login_urls = {name: f"postgresql://{role}:{passwords[role]}@{at}" for name, role in LOGINS.items()}
    return login_urls | {"DATABASE_OWNER_URL": server.url}


def _start_valkey(home: Home, supervisor: Supervisor) -> dict[str, str]:
    folder, port = home.folder / "valkey", home.port("valkey")
    password = home.secret("valkey.password", embedded.new_password())
    server = embedded.start_valkey(folder, port, password=password, pass_fds=(home.lock,))

    def launch() -> Process:
        return embedded.launch_valkey(folder, port, password=password, pass_fds=(home.lock,))

    _watch(supervisor, server, launch)
    return {"REDIS_URL": server.url}


def _watch(supervisor: Supervisor, server: embedded.Server, launch: Callable[[], Process]) -> None:
    stop = server.stop_signal
    supervisor.add(Child(name=server.name, launch=launch, process=server.process, stop_signal=stop, hurry_signal=stop))


def environment(
    given: Mapping[str, str], settings: Settings, home: Home, addresses: Mapping[str, str], metrics_port: int
) -> dict[str, str]:
    """Make the environment of the gateway's programs: what was given, made complete and absolute."""
    foreign = (*FOREIGN, "PG") if "DATABASE_URL" in addresses else FOREIGN
    kept = {name: value for name, value in given.items() if not name.startswith(foreign)}
    kept |= {name: str(Path(value).absolute()) for name, value in kept.items() if _is_relative_file(name, value)}
    if settings.config_file:
        kept["GATEWAY_CONFIG"] = str(settings.config_file)
    if not settings.secret_key:
        home.secret("secret-key", os.urandom(32).hex())
        kept["SECRET_KEY_FILE"] = str(home.folder / "secret-key")
    return {
        **kept,
        **addresses,
        "GATEWAY_HOME": str(home.folder),
        "METRICS_PORT": str(metrics_port),
        "PYTHONUNBUFFERED": "1",
    }


def _is_relative_file(name: str, value: str) -> bool:
    """The programs run in the repository's folder, where a relative path would lead elsewhere."""
    return name.endswith("_FILE") and bool(value) and not os.path.isabs(value) and os.path.exists(value)
