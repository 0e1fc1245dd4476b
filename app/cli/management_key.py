"""`flask --app wsgi management-key WORKSPACE NAME`: makes a key for /api/v1, and says its secret once."""

from datetime import timedelta

import click
from flask.cli import with_appcontext

from app.application import keys
from app.auth.callers import MANAGEMENT
from app.logging import audit
from app.units import utc_now
from app.workspace import workspaces
from app.workspace.names import Invalid


@click.command("management-key")
@click.argument("workspace")
@click.argument("name")
@click.option("--days", type=click.IntRange(1, 3650), help="How long the key works; without it, until it is revoked.")
@with_appcontext
def management_key(workspace: str, name: str, days: int | None) -> None:
    """Create a key called NAME with which programs read the usage of WORKSPACE. The workspace "platform" reaches all."""
    found = workspaces.by_name(workspace)
    if found is None or found.archived_at:
        raise click.ClickException(f"There is no open workspace {workspace!r}.")
    until = utc_now() + timedelta(days=days) if days else None
    try:
        with audit.acting(audit.Actor(kind="system", name="management-key")):
            made = keys.create(found.workspace_id, None, name, models=[], kind=MANAGEMENT, expires_at=until)
    except Invalid as error:
        raise click.ClickException(f"The {error.field} {error.problem}.") from error
    click.echo(made.secret)
