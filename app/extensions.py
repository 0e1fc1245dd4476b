"""The database, Redis and the job queue, made once and bound to the app by `create_app`.

Every read and write of a tenant's rows happens in `with transaction(workspace_id):`. It nests:
the outermost one commits, so a function that calls two services is one transaction. Row-level
security sees only the workspace named there, set for the transaction and for nothing longer.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import redis as redis_client
from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue
from rq.serializers import JSONSerializer
from sqlalchemy import DateTime, MetaData, Numeric, Text, Uuid, text
from sqlalchemy.exc import InternalError
from sqlalchemy.orm import DeclarativeBase, Session, registry

from app.config import Settings
from app.crypto import Vault

LEDGER_QUEUE = "ledger"
LONG_QUEUE = "long"
"""Of jobs that take minutes: the ledger's must not wait for them."""


class Base(DeclarativeBase):
    """What every row inherits."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    registry = registry(
        metadata=metadata,
        type_annotation_map={
            datetime: DateTime(timezone=True),
            Decimal: Numeric(24, 12),
            str: Text(),
            UUID: Uuid(),
        },
    )


db = SQLAlchemy(model_class=Base)


def init_app(app: Flask, settings: Settings) -> None:
    """Bind everything to the app. Opens no connection."""
    app.config["SQLALCHEMY_DATABASE_URI"] = sqlalchemy_url(settings.database_url)
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {
        "pool_size": 5,
        "max_overflow": 10,
        "pool_pre_ping": True,
        # A prepared statement is planned for any values after a few turns, and days differ from years; poolers lose it.
        "connect_args": {"connect_timeout": 3, "application_name": "llm-gateway", "prepare_threshold": None},
    }
    db.init_app(app)
    app.extensions["settings"] = settings
    app.extensions["vault"] = Vault.of(settings.secret_key, settings.secret_key_previous)
    app.extensions["redis"] = connect_redis(settings.redis_url)
    app.extensions["queue_redis"] = connect_redis(settings.queue_redis_url or settings.redis_url)


def connect_redis(url: str) -> redis_client.Redis:
    """Open a client that fails fast: redis-py's own retries would count a script twice."""
    return redis_client.Redis.from_url(
        url, socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0), health_check_interval=30
    )


def settings() -> Settings:
    """The running app's settings."""
    return cast(Settings, current_app.extensions["settings"])


def vault() -> Vault:
    """The running app's secrets."""
    return cast(Vault, current_app.extensions["vault"])


def redis() -> redis_client.Redis:
    """The running app's Redis, for everything but the line."""
    return cast(redis_client.Redis, current_app.extensions["redis"])


def queue(name: str = LEDGER_QUEUE) -> Queue:
    """A job queue. Jobs carry ids, never payloads; JSON, never pickle."""
    return Queue(name, connection=current_app.extensions["queue_redis"], serializer=JSONSerializer)


@contextmanager
def snapshot(workspace_id: UUID) -> Iterator[Session]:
    """Read one workspace's rows in a transaction whose statements all see one state of the database."""
    session = cast(Session, db.session())
    if "workspace_id" not in session.info:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    with transaction(workspace_id):
        yield session


@contextmanager
def transaction(workspace_id: UUID) -> Iterator[Session]:
    """Work on one workspace's rows; commit when the outermost block ends, roll back when it raises."""
    session = cast(Session, db.session())
    outer: UUID | None = session.info.get("workspace_id")
    _enter(session, workspace_id)
    try:
        yield session
        session.flush()
        if outer is None:
            session.commit()
    except BaseException:
        if outer is None:
            session.rollback()
            session.info.pop("after_commit", None)
        raise
    finally:
        if outer is None:
            session.info.pop("workspace_id", None)
        elif session.in_transaction() and session.is_active:
            with suppress(InternalError):  # an aborted transaction answers nothing more; its own error must be seen
                _enter(session, outer)
    if outer is None:
        for callback in session.info.pop("after_commit", {}).values():
            callback()


def after_commit(name: str, callback: Callable[[], None]) -> None:
    """Run `callback` once the running transaction has committed; one per name, the last one given."""
    db.session().info.setdefault("after_commit", {})[name] = callback


# What pages and services ask is answered before helper processes or compiled code would have begun to pay.
_ENTER = text(
    "select set_config('app.workspace_id', :id, true), set_config('jit', 'off', true),"
    " set_config('max_parallel_workers_per_gather', '0', true)"
)


def _enter(session: Session, workspace_id: UUID) -> None:
    if session.info.get("workspace_id") == workspace_id:
        return
    session.info["workspace_id"] = workspace_id
    session.execute(_ENTER, {"id": str(workspace_id)})


def sqlalchemy_url(url: str) -> str:
    """Name the driver in a plain postgresql:// address."""
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def execute(session: Session, statement: str, **values: Any) -> Any:
    """Run one SQL text with named values."""
    return session.execute(text(statement), values)
