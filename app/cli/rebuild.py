"""`flask --app wsgi rebuild [WORKSPACE] [--check]`: makes every read model again from the ledger.

Beside processes that serve: readers see the old sums until the new ones are there, and calls wait in their stream.
"""

import click
from flask.cli import with_appcontext

from app.billing import jobs
from app.billing import rebuild as rebuilding
from app.extensions import settings
from app.workspace import workspaces
from app.workspace.workspaces import Workspace


@click.command("rebuild")
@click.argument("workspace", required=False)
@click.option("--check", is_flag=True, help="Fail when anything is not byte for byte what it was before.")
@with_appcontext
def rebuild(workspace: str | None, check: bool) -> None:
    """Make the sums of usage again from the ledger, of one workspace by its name or of all."""
    found = [one for one in workspaces.all_of_platform() if workspace in {None, one.name}]
    if not found:
        raise click.ClickException(f"there is no workspace {workspace!r}")
    different = [one.name for one in found if not _rebuild(one)]
    if check and different:
        raise click.ClickException(f"not as before: {', '.join(different)}")


def _rebuild(one: Workspace) -> bool:
    """Rebuild one workspace and say what came of it; tell whether all is as before."""
    with jobs.connect(settings().database_ingest_url) as database:
        calls, before, after = rebuilding.proven(one.workspace_id, database=database)
    wrong = sorted(name for name, digest in after.items() if digest != before[name])
    said = f"not as before: {', '.join(wrong)}" if wrong else "byte for byte as before"
    click.echo(f"workspace {one.name}: {calls} calls, {said}")
    for name, digest in sorted(after.items()):
        click.echo(f"  {name} sha256 {digest}")
    return not wrong
