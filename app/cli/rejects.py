"""`flask --app wsgi replay-rejects`: takes events that could not be billed once more, after their fault was repaired."""

import click
from flask.cli import with_appcontext

from app.billing import jobs, rejects
from app.extensions import redis, settings


@click.command("replay-rejects")
@with_appcontext
def replay_rejects() -> None:
    """Put the events that were set aside back into their streams; the worker takes them into the ledger."""
    with jobs.connect(settings().database_ingest_url) as database:
        count = rejects.replay(database, redis())
    click.echo(f"{count} events are back in their streams. What still cannot be billed is set aside again.")
