"""Locks of the database, for tests in which one waits for another."""

from flask import Flask
from sqlalchemy import text

from app.extensions import db


def someone_waits(app: Flask) -> bool:
    """Tell whether anybody waits for a lock."""
    with app.app_context(), db.engine.connect() as connection:
        return bool(connection.scalar(text("select count(*) from pg_locks where not granted")))
