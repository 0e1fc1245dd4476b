"""The loop's part in alerts: budgets are watched in its turn, and a thread of its own delivers what they say."""

import psycopg
from redis import Redis
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.billing import budget_watch
from app.config import Settings
from app.logging import alert_figures
from app.units import utc_now
from app.worker.database import SQL_LIMIT_S, time_limit
from app.workspace import courier


class Alerts:
    """The watch over budgets, and the courier."""

    def __init__(self, settings: Settings, redis: Redis) -> None:
        url = settings.database_ingest_url
        self._redis, self._engine = redis, courier.engine(url)
        self._watch = budget_watch.Watch(public_url=settings.public_url)
        self.courier = courier.Courier(courier.engine(url), redis, courier.means_of(settings))

    def watch_budgets(self) -> None:
        """Give alerts, and have budgets act, where there was new usage. Budgets act for the proxies by a new revision."""
        try:
            with time_limit(SQL_LIMIT_S), Session(self._engine) as session:
                outcome = budget_watch.turn(session, self._watch, utc_now())
        except SQLAlchemyError as error:
            self._engine.dispose()
            raise psycopg.OperationalError(str(error)) from error
        except BaseException:
            self._engine.dispose()
            raise
        if outcome.fired:
            self._redis.hincrby(alert_figures.BUDGETS, "alerts", outcome.fired)
