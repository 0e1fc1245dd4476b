"""`flask --app wsgi bootstrap`: what a first start needs, so that the first call can be made.

The launcher runs it after the migrations, and after `apply` where there is a file: a file's own
providers and workspaces come first. Each step is made once and left alone afterwards, and all of
them are one transaction. Standard output holds one JSON object and nothing else.
"""

import json
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import click
from flask.cli import with_appcontext

from app.application import applications, keys
from app.auth import users
from app.cli import notices
from app.config import provider_keys
from app.extensions import settings, transaction
from app.logging import audit
from app.model import catalogue_seed, models, price_book
from app.provider import providers
from app.provider.adapters import ADAPTERS
from app.units import PLATFORM_ID, utc_now
from app.workspace import workspaces
from app.workspace.names import Invalid

DEMO = "demo"
ECHO = "echo"
ECHO_KEY = "echo-takes-any-key"
FREE = {"input": Decimal(0), "output": Decimal(0)}
MANAGEMENT = "bootstrap"


@dataclass(slots=True)
class FirstRun:
    """What was made. Secrets are here because they are shown once, on the first start."""

    admin_email: str
    admin_password: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    workspace: str | None = None
    imported: dict[str, dict[str, int]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Give it as the launcher reads it."""
        return {
            "admin_email": self.admin_email,
            "admin_password": self.admin_password,
            "api_key": self.api_key,
            "workspace": self.workspace,
            "imported": self.imported,
            "warnings": self.warnings,
        }


@click.command("bootstrap")
@click.option("--echo-url", default="none", help="Where the echo upstream listens; none for no demo.")
@with_appcontext
def bootstrap(*, echo_url: str) -> None:
    """Make the admin, the demo and the providers of the environment, where they are missing."""
    click.echo(json.dumps(run(None if echo_url == "none" else echo_url, provider_keys(), now=utc_now()).as_json()))


def run(echo_url: str | None, found_keys: dict[str, str], *, now: datetime) -> FirstRun:
    """Do what is missing; `found_keys` are secrets of well-known providers by name."""
    first = FirstRun(settings().bootstrap_admin_email)
    with audit.acting(audit.Actor(kind="system", name="bootstrap")), transaction(PLATFORM_ID):
        _make_admin(first)
        _make_management_key()
        if echo_url:
            _make_echo(f"{echo_url.rstrip('/')}/v1", first, now=now)
        for name, secret in found_keys.items():
            _import(name, secret, first, now=now)
        first.warnings += notices.unenforced_limits()
    return first


def _make_admin(first: FirstRun) -> None:
    password = settings().bootstrap_admin_password or secrets.token_urlsafe(15)
    if users.ensure_admin(first.admin_email, password):
        first.admin_password = password


def _make_management_key() -> None:
    """Make the management key, or give it the secret that the setting has now."""
    secret = settings().bootstrap_management_key
    if not secret:
        return
    mine = next((key for key in keys.all_of(PLATFORM_ID) if key.name == MANAGEMENT and not key.application_id), None)
    if mine is None:
        keys.create(PLATFORM_ID, None, MANAGEMENT, models=[], secret=secret, kind="management")
    elif keys.owner_of(secret) != (PLATFORM_ID, mine.key_id):
        keys.replace_secret(PLATFORM_ID, mine.key_id, secret)


def _make_echo(base_url: str, first: FirstRun, *, now: datetime) -> None:
    """Make the demo while there is no workspace; later only follow the echo upstream's address."""
    echo = providers.by_name(PLATFORM_ID, ECHO)
    if echo and echo.managed_by == "console":
        _save_echo(base_url)
    elif not echo and settings().environment == "development" and _no_workspace_yet():
        provider_id = _save_echo(base_url)
        model_id = models.save(PLATFORM_ID, ECHO, [models.Deployment(provider_id=provider_id, upstream_model=ECHO)])
        price_book.set_prices(PLATFORM_ID, model_id, FREE, now=now)
        workspace_id = workspaces.create(DEMO)
        application_id = applications.create(workspace_id, DEMO)
        first.api_key = keys.create(workspace_id, application_id, DEMO, models=[keys.ALL_MODELS]).secret
        first.workspace = DEMO


def _save_echo(base_url: str) -> UUID:
    return providers.save(PLATFORM_ID, ECHO, kind="openai", base_url=base_url, api_key=ECHO_KEY)


def _no_workspace_yet() -> bool:
    return all(workspace.workspace_id == PLATFORM_ID for workspace in workspaces.all_of_platform())


def _import(name: str, secret: str, first: FirstRun, *, now: datetime) -> None:
    """Make a well-known provider with its listed chat models; leave one that is there alone."""
    if providers.by_name(PLATFORM_ID, name):
        return
    try:
        provider_id = providers.save(PLATFORM_ID, name, kind=name, base_url=ADAPTERS[name].base_url, api_key=secret)
    except Invalid as error:
        first.warnings.append(f"provider {name} was not made: the key in the environment {error.problem}")
        return
    made = catalogue_seed.plant(PLATFORM_ID, provider_id, name, catalogue_seed.chat_models(name, now=now))
    first.imported[name] = {
        "models": len(made),
        "unpriced": sum(not seed.prices for seed in made),
        "rounded": sum(seed.rounded for seed in made),
    }
