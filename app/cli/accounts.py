"""`flask --app wsgi reset-totp`, `end-sessions` and `allow-passwords`: what operators do for people who cannot."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import click
from flask.cli import with_appcontext

from app.auth import accounts, break_glass, policy, sessions, totp, users
from app.logging import audit
from app.units import utc_now


@click.command("reset-totp")
@click.argument("email")
@with_appcontext
def reset_totp(email: str) -> None:
    """Turn off two-factor sign-in for somebody who has lost the app; the password stays."""
    user_id = _account(email)
    with _acting("reset-totp"):
        had_one = totp.turn_off(user_id)
    click.echo(f"Two-factor sign-in of {email} is off." if had_one else f"{email} had no two-factor sign-in.")
    if policy.requires_sso() and not break_glass.admins():
        click.echo("Single sign-on is required, and nobody can get in without it now. `allow-passwords` lifts that.")


@click.command("end-sessions")
@click.argument("email", required=False)
@with_appcontext
def end_sessions(email: str | None) -> None:
    """Sign somebody out everywhere; without EMAIL, everybody."""
    user_id = _account(email) if email else None
    with _acting("end-sessions"):
        ended = accounts.end_sessions(user_id) if user_id else sessions.end_all()
    click.echo(f"Sessions of {email or 'everybody'} ended: {ended}.")


@click.command("allow-passwords")
@with_appcontext
def allow_passwords() -> None:
    """Lift "Require single sign-on", for when it does not work and nobody can get in."""
    with _acting("allow-passwords"):
        was_required = policy.allow_passwords(now=utc_now())
    click.echo("Passwords work again." if was_required else "Single sign-on was not required.")


def _account(email: str) -> UUID:
    found = users.id_of(email)
    if found is None:
        raise click.ClickException(f"There is no account {email!r}.")
    return found


@contextmanager
def _acting(command: str) -> Iterator[None]:
    """Say in the audit trail that it was an operator at the shell, and what was run."""
    with audit.acting(audit.Actor(kind="system", name=command)):
        yield
