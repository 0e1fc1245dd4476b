"""Keys of kind 'workload': a program's token of an identity provider stands for them, so there is no secret to keep.

All else is as for other keys: limits, models, revocation, the bill. The proxies learn of a change
within a second.
"""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy import select

from app.application import keys, tokens
from app.application.keys import Key, MadeBefore
from app.application.limits import Limits
from app.application.tables import KeyRow
from app.application.tokens import Token
from app.extensions import execute, transaction
from app.units import PLATFORM_ID, new_id
from app.workspace import names, revisions, twins


def create(  # noqa: PLR0913 - a key is all of this
    workspace_id: UUID,
    application_id: UUID,
    name: str,
    token: Token,
    *,
    models: list[str],
    limits: Limits = Limits(),  # noqa: B008 - frozen
    expires_at: datetime | None = None,
    key_id: UUID | None = None,
) -> UUID:
    """Make a key for which a token stands; raise `Invalid` for what cannot be stored, `MadeBefore` for a known id."""
    names.check("name", name)
    row = KeyRow(workspace_id=workspace_id, key_id=key_id or new_id(), application_id=application_id, name=name)
    row.state, row.expires_at, row.models = "active", expires_at, keys.check_models(models)
    tokens.give(row, token)
    keys.set_limits(row, limits)
    with transaction(workspace_id) as session, names.unique("a key", name), tokens.free():
        twins.wait(session, row.key_id)
        if session.get(KeyRow, (workspace_id, row.key_id)):
            raise MadeBefore
        keys.check_place(session, row)
        row.revision = revisions.bump_keys()
        session.add(row)
        session.flush()
        keys.note("create", row)
        return row.key_id


def of_application(workspace_id: UUID, application_id: UUID) -> list[Key]:
    """List an application's active keys of this kind by name."""
    mine = (KeyRow.workspace_id == workspace_id, KeyRow.application_id == application_id)
    wanted = select(KeyRow).where(*mine, KeyRow.kind == tokens.KIND, KeyRow.state == "active").order_by(KeyRow.name)
    with transaction(workspace_id) as session:
        return [keys.value(row) for row in session.scalars(wanted)]


def refresh(provider_id: UUID) -> None:
    """Tell the proxies that an identity provider has changed, whichever workspaces have keys for its tokens."""
    with transaction(PLATFORM_ID) as session:
        rows = execute(session, "select * from workload_keys_of(:provider)", provider=provider_id).all()
        for row in rows:
            with transaction(row.workspace_id):
                mine = (KeyRow.workspace_id == row.workspace_id, KeyRow.key_id == row.key_id)
                session.execute(sql.update(KeyRow).where(*mine).values(revision=revisions.bump_keys()))
