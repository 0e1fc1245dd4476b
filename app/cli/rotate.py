"""`flask --app wsgi rotate-secrets`: after a change of SECRET_KEY, seals with the new one what the old one sealed.

Run it with both, the old one in SECRET_KEY_PREVIOUS. It can be run again at any time, beside
processes that serve; what it cannot do is hash API keys anew, and it says which need the old one.
"""

from collections import Counter
from uuid import UUID

import click
from flask.cli import with_appcontext

from app.application import peppers
from app.auth import sealing
from app.crypto import Resealing
from app.provider import credentials
from app.units import utc_now
from app.workspace import channels, workspaces

UNTIL = "They work while it is in SECRET_KEY_PREVIOUS: rotate them, or keep it there."
NEVER = "They do not work. Give it in SECRET_KEY_PREVIOUS, or make new keys."


@click.command("rotate-secrets")
@with_appcontext
def rotate_secrets() -> None:
    """Seal every stored secret with the newest SECRET_KEY."""
    names = {workspace.workspace_id: workspace.name for workspace in workspaces.all_of_platform()}
    tally = sealing.reseal()
    for workspace_id, name in names.items():
        tally.add(credentials.reseal(workspace_id), f"workspace {name}, ")
        tally.add(channels.reseal(workspace_id), f"workspace {name}, ")
    peppers.number()
    for line in (*_of_secrets(tally), *_of_keys(names)):
        click.echo(line)


def _of_secrets(tally: Resealing) -> list[str]:
    lines = [f"Sealed anew: {tally.done}. Up to date before: {tally.kept}."]
    if tally.lost:
        lines.append("Sealed with a SECRET_KEY that is not given, so they cannot be opened:")
        lines += [f"  {name}" for name in tally.lost]
    return lines


def _of_keys(names: dict[UUID, str]) -> list[str]:
    """Say which API keys hang on another secret than the newest."""
    older, unknown = peppers.outdated(now=utc_now())
    lines = _counted(older, names, f"API keys made with an earlier SECRET_KEY. {UNTIL}")
    return lines + _counted(unknown, names, f"API keys made with a SECRET_KEY that is not given. {NEVER}")


def _counted(found: Counter[UUID], names: dict[UUID, str], title: str) -> list[str]:
    rows = sorted((names.get(workspace_id, str(workspace_id)), count) for workspace_id, count in found.items())
    return [title, *(f"  workspace {name}: {count}" for name, count in rows)] if rows else []
