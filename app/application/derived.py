"""What follows from a call's key or application as these are now, for statements that join it to the calls."""

from sqlalchemy import Subquery, select

from app.application.tables import ApplicationRow, KeyRow


def of_keys() -> Subquery:
    """Who owns each key; null: nobody."""
    return select(KeyRow.workspace_id, KeyRow.key_id, KeyRow.owner_id).subquery("of_key")


def of_applications() -> Subquery:
    """The cost centre, or null, and the tags of each application."""
    row = ApplicationRow
    return select(row.workspace_id, row.application_id, row.cost_centre, row.tags).subquery("of_application")
