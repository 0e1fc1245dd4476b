"""The settings, and the only reader of the environment.

`Settings.read(environ)` checks everything at once and raises `InvalidSettings` with one
line for each wrong or missing name. Every secret may also come from a file: `NAME_FILE`.
"""

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from app.networks import LOOPBACK, NO_NETWORKS, Network, Networks, address_of

ENVIRONMENTS = ("development", "staging", "production")
ROLES = ("all", "proxy", "console")
SECRET_MIN_LENGTH = 32
SAMPLE_SECRETS = frozenset({"changeme", "change-me", "secret", "password", "replace-me-with-64-random-hex-characters"})
MAX_BODY_BYTES = 32 * 1024 * 1024
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
ANY_HOST = "*"
HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?|\[[0-9a-f:.]+\]")


class InvalidSettings(Exception):
    """The environment cannot be used; `problems` has one sentence for each setting."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a process runs with. Addresses are URLs, secrets are plain text: never log one."""

    host: str = "127.0.0.1"
    port: int = 8080
    metrics_port: int = 0
    home: Path = Path("var")
    config_file: Path | None = None
    environment: str = "production"
    role: str = "all"
    web_workers: int = 1
    database_url: str = ""
    database_owner_url: str = ""
    database_ingest_url: str = ""
    redis_url: str = ""
    queue_redis_url: str = ""
    secret_key: str = ""
    secret_key_previous: tuple[str, ...] = ()
    public_url: str = ""
    allowed_hosts: frozenset[str] = frozenset()
    trusted_proxies: Networks = LOOPBACK
    console_networks: Networks = NO_NETWORKS
    break_glass_networks: Networks = NO_NETWORKS
    ca_file: Path | None = None
    stream_limit: int = 50_000
    retention_ledger_months: int = 84
    retention_audit_months: int = 84
    retention_details_days: int = 90
    retention_rejects_days: int = 365
    legal_hold: bool = False
    smtp_url: str = ""
    mail_from: str = ""
    outbound_private: str = "refuse"
    bootstrap_admin_email: str = "admin@localhost"
    bootstrap_admin_password: str = ""
    bootstrap_management_key: str = ""

    def __repr__(self) -> str:
        """Show every setting, secrets and the passwords inside addresses masked."""
        shown = ", ".join(f"{f.name}={_masked(f.name, getattr(self, f.name))!r}" for f in fields(self))
        return f"Settings({shown})"

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None, *, servers_required: bool = True) -> "Settings":
        """Read and check the environment; raise `InvalidSettings` naming everything that is wrong.

        `servers_required=False` is for `script/server`, which starts what has no address.
        """
        reader = _Reader(os.environ if environ is None else environ)
        settings = cls(
            host=reader.text("HOST", "127.0.0.1"),
            port=reader.number("PORT", 8080, 1, 65535),
            metrics_port=reader.number("METRICS_PORT", 0, 0, 65535),
            home=Path(reader.text("GATEWAY_HOME", "var")).absolute(),
            config_file=reader.file("GATEWAY_CONFIG"),
            environment=reader.choice("GATEWAY_ENV", "production", ENVIRONMENTS),
            role=reader.choice("GATEWAY_ROLE", "all", ROLES),
            web_workers=reader.number("WEB_WORKERS", os.cpu_count() or 1, 1, 512),
            database_url=reader.url("DATABASE_URL", ("postgresql",), servers_required),
            database_owner_url=reader.url("DATABASE_OWNER_URL", ("postgresql",), False),
            database_ingest_url=reader.url("DATABASE_INGEST_URL", ("postgresql",), servers_required),
            redis_url=reader.url("REDIS_URL", ("redis", "rediss", "unix"), servers_required),
            queue_redis_url=reader.url("QUEUE_REDIS_URL", ("redis", "rediss", "unix"), False),
            secret_key=reader.secret("SECRET_KEY", servers_required),
            secret_key_previous=reader.secrets("SECRET_KEY_PREVIOUS"),
            public_url=(public_url := reader.origin("PUBLIC_URL")),
            allowed_hosts=reader.hosts("ALLOWED_HOSTS", public_url),
            trusted_proxies=reader.networks("TRUSTED_PROXIES", LOOPBACK),
            console_networks=reader.networks("CONSOLE_NETWORKS"),
            break_glass_networks=reader.networks("BREAK_GLASS_NETWORKS"),
            ca_file=reader.certificates("CA_FILE"),
            stream_limit=reader.number("STREAM_LIMIT", 50_000, 10, 10_000_000),
            retention_ledger_months=reader.number("RETENTION_LEDGER_MONTHS", 84, 13, 1200),
            retention_audit_months=reader.number("RETENTION_AUDIT_MONTHS", 84, 12, 1200),
            retention_details_days=reader.number("RETENTION_DETAILS_DAYS", 90, 2, 36_500),
            retention_rejects_days=reader.number("RETENTION_REJECTS_DAYS", 365, 30, 36_500),
            legal_hold=reader.choice("LEGAL_HOLD", "off", ("off", "on")) == "on",
            smtp_url=reader.url("SMTP_URL", ("smtp", "smtps"), False),
            mail_from=reader.text("MAIL_FROM", ""),
            outbound_private=reader.choice("OUTBOUND_PRIVATE", "refuse", ("refuse", "allow")),
            bootstrap_admin_email=reader.text("BOOTSTRAP_ADMIN_EMAIL", "admin@localhost"),
            bootstrap_admin_password=reader.secret("BOOTSTRAP_ADMIN_PASSWORD", False, shortest=12),
            bootstrap_management_key=reader.secret("BOOTSTRAP_MANAGEMENT_KEY", False, shortest=20),
        )
        reader.check(settings)
        if not servers_required and settings.database_url and not settings.database_owner_url:
            reader.problems.append(
                "DATABASE_OWNER_URL: is missing; script/server brings the schema up to date with it."
            )
        if reader.problems:
            raise InvalidSettings(reader.problems)
        return settings


def provider_keys(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Find the well-known provider keys in the environment: provider name → secret."""
    reader = _Reader(os.environ if environ is None else environ)
    found = {name: reader.value(variable) for variable, name in PROVIDER_KEYS.items()}
    return {name: key for name, key in found.items() if key}


PROVIDER_KEYS = {
    "OPENAI_API_KEY": "openai",
    "MISTRAL_API_KEY": "mistral",
    "GROQ_API_KEY": "groq",
    "DEEPSEEK_API_KEY": "deepseek",
    "XAI_API_KEY": "xai",
    "OPENROUTER_API_KEY": "openrouter",
}


def variable(name: str) -> str | None:
    """Look up one variable of the environment, for `${NAME}` in a configuration file."""
    return os.environ.get(name)


class _Reader:
    """Reads one variable at a time and collects what is wrong."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.problems: list[str] = []

    def value(self, name: str) -> str:
        file = self.environ.get(f"{name}_FILE")
        if not file:
            return self.environ.get(name, "").strip()
        try:
            return Path(file).read_text().strip()
        except OSError as error:
            self.problems.append(f"{name}_FILE: cannot read {file}: {error.strerror}.")
            return ""

    def text(self, name: str, default: str) -> str:
        return self.environ.get(name, "").strip() or default

    def number(self, name: str, default: int, low: int, high: int) -> int:
        raw = self.text(name, str(default))
        if not raw.isascii() or not raw.isdigit() or not low <= int(raw) <= high:
            self.problems.append(f"{name}: must be a whole number from {low} to {high}, not {raw!r}.")
            return default
        return int(raw)

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        raw = self.text(name, default)
        if raw not in allowed:
            self.problems.append(f"{name}: must be one of {', '.join(allowed)}, not {raw!r}.")
        return raw

    def file(self, name: str) -> Path | None:
        raw = self.text(name, "")
        if raw and not os.access(raw, os.R_OK):
            self.problems.append(f"{name}: there is no readable file {raw!r}.")
        return Path(raw).absolute() if raw else None

    def url(self, name: str, schemes: tuple[str, ...], required: bool) -> str:
        raw = self.value(name)
        if not raw:
            if required:
                self.problems.append(f"{name}: is missing.")
            return ""
        problem = _problem_with_url(raw, schemes)
        if problem:
            self.problems.append(f"{name}: {problem}")
        return raw

    def secret(self, name: str, required: bool, shortest: int = SECRET_MIN_LENGTH) -> str:
        raw = self.value(name)
        if raw or required:
            self._check_secret(name, raw, shortest)
        return raw

    def secrets(self, name: str) -> tuple[str, ...]:
        """Read several secrets, one a line."""
        found = tuple(line.strip() for line in self.value(name).splitlines() if line.strip())
        for one in found:
            self._check_secret(name, one, SECRET_MIN_LENGTH)
        return found

    def _check_secret(self, name: str, raw: str, shortest: int) -> None:
        if not raw:
            self.problems.append(f"{name}: is missing.")
        elif raw.lower() in SAMPLE_SECRETS:
            self.problems.append(f"{name}: is a sample value; set a random one of your own.")
        elif len(raw) < shortest:
            self.problems.append(f"{name}: must have at least {shortest} characters.")

    def origin(self, name: str) -> str:
        """Read the address of a site: scheme, host and port, nothing else. The slash at its end goes."""
        raw = self.text(name, "").rstrip("/")
        problem = _problem_with_origin(raw) if raw else None
        if problem:
            self.problems.append(f"{name}: {problem}")
        return "" if problem else raw.lower()

    def hosts(self, name: str, public_url: str) -> frozenset[str]:
        """Read host names without ports; without any, those that the public address implies. Empty: every host."""
        given = [_bracketed(one.lower()) for one in _listed(self.text(name, ""))]
        wrong = [one for one in given if one != ANY_HOST and not HOST_NAME.fullmatch(one)]
        self.problems += [f"{name}: {one!r} is no host name; give it without scheme and port." for one in wrong]
        own = urlsplit(public_url).hostname if public_url else None
        if ANY_HOST in given or not (given or own):
            return frozenset()
        return frozenset(given or LOOPBACK_NAMES) | ({_bracketed(own)} if own else set())

    def networks(self, name: str, default: Networks = NO_NETWORKS) -> Networks:
        """Read networks, separated by commas or spaces."""
        found: list[Network] = []
        for one in _listed(self.text(name, "")):
            try:
                found += Networks.of([one]).members
            except ValueError as error:
                self.problems.append(f"{name}: {error}.")
        return Networks(tuple(found)) or default

    def certificates(self, name: str) -> Path | None:
        """Read the path of a file with certificates."""
        before = len(self.problems)
        path = self.file(name)
        if path and len(self.problems) == before:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
            except ssl.SSLError:
                self.problems.append(f"{name}: {str(path)!r} holds no certificates in PEM form.")
        return path

    def check(self, settings: Settings) -> None:
        """Check what one variable alone cannot tell."""
        if not re.fullmatch(r"[^@\s]+@[^@\s]+", settings.bootstrap_admin_email):
            self.problems.append("BOOTSTRAP_ADMIN_EMAIL: must be an e-mail address.")
        if settings.smtp_url and not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", settings.mail_from):
            self.problems.append("MAIL_FROM: must be an e-mail address when SMTP_URL is set.")
        if settings.secret_key and settings.secret_key in settings.secret_key_previous:
            self.problems.append("SECRET_KEY_PREVIOUS: is the same as SECRET_KEY; give the one before it.")
        if settings.metrics_port and settings.metrics_port == settings.port:
            self.problems.append("METRICS_PORT: must differ from PORT.")
        given = [bool(settings.database_url), bool(settings.database_owner_url), bool(settings.database_ingest_url)]
        if any(given) and not (given[0] and given[2]):
            self.problems.append(
                "DATABASE_URL and DATABASE_INGEST_URL: set both, or neither for the embedded database."
            )


def _listed(raw: str) -> list[str]:
    return raw.replace(",", " ").split()


def _bracketed(host: str) -> str:
    """Write an IPv6 address as a Host header has it."""
    return f"[{host}]" if ":" in host and not host.startswith("[") and address_of(f"[{host}]") else host


def _problem_with_origin(raw: str) -> str | None:
    problem = _problem_with_url(raw, ("https", "http"))
    if problem:
        return problem
    parts = urlsplit(raw)
    host = (parts.hostname or "").lower()
    if not HOST_NAME.fullmatch(_bracketed(host)):
        return "is not a valid address."
    if _has_more(parts):
        return "must be like https://gateway.example.com: no path, no query, no password."
    return None


def _has_more(parts: SplitResult) -> bool:
    """Tell whether there is more to an address than scheme, host and port."""
    return bool(parts.path or parts.query or parts.fragment or "@" in parts.netloc)


def _problem_with_url(raw: str, schemes: tuple[str, ...]) -> str | None:
    try:
        parts = urlsplit(raw)
        complete = bool(parts.hostname or parts.path) and parts.port != 0
    except ValueError:
        return "is not a valid address."
    if parts.scheme.split("+")[0] not in schemes:
        return f"must start with {' or '.join(f'{s}://' for s in schemes)}."
    return None if complete else "is not a complete address."


def _masked(name: str, value: object) -> object:
    if "secret" in name or "password" in name or name.endswith("management_key"):
        return "***" if value else ""
    if name.endswith("_url"):
        return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", str(value))
    return value
