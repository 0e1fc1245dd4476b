"""Runs migrations as the owner, one runner at a time: others wait, then find nothing to do."""

from alembic import context
from flask import current_app
from sqlalchemy import create_engine, pool, text

from app.extensions import db, sqlalchemy_url

ONE_RUNNER_LOCK = 7_201_001


def run() -> None:
    """Migrate in one transaction, so that a failed step leaves the old schema whole."""
    settings = current_app.extensions["settings"]
    url = sqlalchemy_url(settings.database_owner_url or settings.database_url)
    engine = create_engine(url, poolclass=pool.NullPool, connect_args={"connect_timeout": 5})
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=db.metadata, compare_type=True)
        with context.begin_transaction():
            connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": ONE_RUNNER_LOCK})
            context.run_migrations()


run()
