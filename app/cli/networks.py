"""`flask --app wsgi allow-networks`: the way back for a workspace whose networks have locked everybody out."""

import click
from flask.cli import with_appcontext

from app.application import workspace_settings
from app.networks import Networks
from app.workspace import workspaces


@click.command("allow-networks")
@click.argument("workspace")
@click.argument("networks", nargs=-1)
@with_appcontext
def allow_networks(workspace: str, networks: tuple[str, ...]) -> None:
    """Set the networks that a workspace may be used from; without any, it may be from everywhere."""
    found = workspaces.by_name(workspace)
    if found is None:
        raise click.ClickException(f"There is no workspace {workspace!r}.")
    try:
        allowed = Networks.of(networks)
    except ValueError as error:
        raise click.ClickException(f"{error}.") from error
    workspace_settings.save_networks(found.workspace_id, allowed)
    click.echo(f"{workspace} may be used from {allowed or 'every network'}.")
