"""`flask --app wsgi apply gateway.yaml`: makes the installation what the file says, or changes nothing.

Idempotent, in one transaction, and only ever on the rows that a file made (`managed_by = file`).
"""

from contextlib import suppress
from datetime import datetime
from pathlib import Path

import click
from flask.cli import with_appcontext
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from app import config as environment
from app.cli import catalogue, config_file, notices, references, state, tenants
from app.cli.entries import Config
from app.cli.journal import Journal
from app.cli.yaml_fields import InvalidFile, Problem
from app.extensions import transaction
from app.logging import audit
from app.units import PLATFORM_ID, utc_now
from app.workspace.names import Invalid


@click.command("apply")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@with_appcontext
def apply(file: Path, *, dry_run: bool) -> None:
    """Make providers, models, workspaces, applications and keys what FILE says."""
    try:
        with audit.acting(audit.Actor(kind="file", name=file.name)):
            journal, warnings = apply_text(_text_of(file), dry_run=dry_run, now=utc_now())
    except InvalidFile as error:
        for problem in sorted(error.problems):
            click.echo(f"{file}:{problem.line}: {problem.text}", err=True)
        raise click.ClickException(f"{file} was not applied; nothing was changed.") from error
    except Invalid as error:
        raise click.ClickException(f"{file} was not applied; nothing was changed: {error}") from error
    except OperationalError as error:
        raise click.ClickException("the database does not answer; nothing was changed.") from error
    except SQLAlchemyError as error:
        cause = type(getattr(error, "orig", error)).__name__
        raise click.ClickException(f"the database refused a change ({cause}); nothing was changed.") from error
    _print(journal, warnings, dry_run=dry_run)


def apply_text(text: str, *, dry_run: bool, now: datetime) -> tuple[Journal, list[str]]:
    """Apply a file's text; give what was done and what to warn about.

    Raises `InvalidFile` with everything that is wrong. A dry run does it all and rolls back.
    """
    config = config_file.read(text, environment.variable)
    journal = Journal()
    warnings: list[str] = []
    try:
        with suppress(_OnlyLooking), transaction(PLATFORM_ID):
            warnings = _converge(config, journal, now=now)
            if dry_run:
                raise _OnlyLooking
    except OperationalError as error:
        if config.problems:
            raise InvalidFile(list(config.problems)) from error
        raise
    return journal, warnings


class _OnlyLooking(Exception):
    """Ends the transaction of a dry run without its changes."""


def _converge(config: Config, journal: Journal, *, now: datetime) -> list[str]:
    """Do the changes in the order in which they need each other; give the warnings."""
    before = state.read(config)
    problems = [*config.problems, *references.check(config, before)]
    if problems:
        raise InvalidFile(problems)
    tenants.prune(config, before, journal, now=now)
    catalogue.apply(config, before, journal, now=now)
    tenants.apply(config, before, journal, now=now)
    catalogue.prune(config, before, journal)
    return notices.unenforced_limits()


def _text_of(file: Path) -> str:
    content = file.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidFile([Problem(line, "is not UTF-8 text")]) from error


def _print(journal: Journal, warnings: list[str], *, dry_run: bool) -> None:
    for line in journal.changes or ["nothing to change"]:
        click.echo(line)
    for note in journal.notes:
        click.echo(f"note: {note}")
    for warning in warnings:
        click.echo(f"warning: {warning}")
    if dry_run:
        click.echo("dry run: nothing was changed")
        return
    for path, secret in journal.secrets:
        click.echo(f"secret of key {path}, shown this once: {secret}")
