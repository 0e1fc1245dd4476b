"""What `script/server` tells people once the gateway answers."""

import shlex
from dataclasses import dataclass
from typing import Any

from app.config import Settings
from deploy.local.home import Home

FIRST_RUN = "first-run.txt"


@dataclass(frozen=True, slots=True)
class Made:
    """What `bootstrap` answered. A secret is there only when it was made just now."""

    admin_email: str
    admin_password: str | None
    api_key: str | None
    imported: dict[str, dict[str, int]]
    warnings: list[str]

    @classmethod
    def of(cls, answer: dict[str, Any], settings: Settings) -> "Made":
        """Take what is needed from its JSON object; a password that was given is nobody's to repeat."""
        password = None if settings.bootstrap_admin_password else answer["admin_password"]
        return cls(answer["admin_email"], password, answer["api_key"], answer["imported"], answer["warnings"])


def keep_secrets(home: Home, made: Made, url: str) -> None:
    """Add the secrets that were made just now to a file only its owner can read: they are shown once."""
    fresh = _secrets(made, url)
    if fresh:
        path = home.folder / FIRST_RUN
        before = path.read_text() if path.exists() else ""
        home.write_private(FIRST_RUN, before + "\n".join(fresh) + "\n")


def lines(settings: Settings, home: Home, made: Made, metrics_port: int) -> list[str]:
    """Write the banner; secrets of an earlier start are not in it, only the file that has them."""
    url = address(settings)
    kept = home.folder / FIRST_RUN
    shown = [
        "",
        f"LLM Gateway is ready ({settings.environment}); Ctrl-C stops it.",
        f"Gateway:   {url}/v1",
        f"Console:   {url}",
    ]
    shown.append(f"Metrics:   http://127.0.0.1:{metrics_port}/metrics")
    shown += [f"Provider:  {name}, {counts['models']} models" for name, counts in made.imported.items()]
    shown += [f"Warning:   {warning}" for warning in made.warnings]
    fresh = _secrets(made, url)
    if not made.admin_password:
        shown.append(f"Admin:     {made.admin_email}")
    if fresh:
        return [*shown, *fresh, f"(kept in {kept})", ""]
    return [*shown, f"First password and API key: {kept}", ""] if kept.exists() else [*shown, ""]


def address(settings: Settings) -> str:
    """Say where a client on this machine finds the gateway."""
    host = reachable(settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def reachable(host: str) -> str:
    """Name a host to connect to where the server listens on all of them."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _secrets(made: Made, url: str) -> list[str]:
    shown = []
    if made.admin_password:
        shown.append(f"Admin:     {made.admin_email}, first password: {made.admin_password}")
    if made.api_key:
        shown += [f"API key:   {made.api_key}", "Try it:", f"  {_curl(url, made.api_key)}"]
    return shown


def _curl(url: str, key: str) -> str:
    body = '{"model": "echo", "messages": [{"role": "user", "content": "Hello"}]}'
    headers = [f"Authorization: Bearer {key}", "Content-Type: application/json"]
    options = " ".join(f"-H {shlex.quote(header)}" for header in headers)
    return f"curl {url}/v1/chat/completions {options} -d {shlex.quote(body)}"
