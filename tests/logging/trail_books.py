"""An audit trail under test: what changes wrote, and what the worker made of it."""

from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from app.extensions import transaction
from app.logging import audit


class Trail:
    """Both halves of the trail as the cluster's superuser sees them."""

    def __init__(self, database: Any) -> None:
        self.database = database
        self.owner = psycopg.connect(database.owner_url, autocommit=True, row_factory=dict_row)

    def sql(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        return self.owner.execute(query.encode(), parameters).fetchall()

    def outbox(self) -> list[dict[str, Any]]:
        return self.sql('select * from audit_outbox order by "position"')

    def events(self, workspace_id: UUID | None = None) -> list[dict[str, Any]]:
        found = self.sql("select * from audit_event order by workspace_id, seq")
        return [event for event in found if workspace_id in {None, event["workspace_id"]}]

    def numbers(self, workspace_id: UUID) -> list[int]:
        return [event["seq"] for event in self.events(workspace_id)]

    def ingest(self) -> psycopg.Connection[Any]:
        """A connection as the worker has it."""
        return psycopg.connect(self.database.ingest_url, autocommit=True)


def note(workspace_id: UUID, *names: str, **fields: Any) -> None:
    """Write an entry for each name, each in a transaction of its own."""
    for name in names:
        with transaction(workspace_id):
            audit.record("key.update", kind="key", id="1", name=name, **fields)
