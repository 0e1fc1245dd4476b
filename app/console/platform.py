"""The platform's page: what waits, what failed, and whether the worker is there; for its admin and its auditor."""

from datetime import datetime
from typing import Any

from flask import Blueprint, Response
from redis.exceptions import RedisError

from app.auth import break_glass
from app.billing import jobs, partitions, refusals, rejects
from app.console import render
from app.console.guard import requires
from app.extensions import LONG_QUEUE, queue, redis
from app.logging import backlog
from app.units import PLATFORM_ID, utc_now
from app.workspace import revisions

TEMPLATE = "console/platform.html"

blueprint = Blueprint("platform", __name__, url_prefix="/platform")


@blueprint.get("")
@requires("platform.read")
def show() -> Response:
    """Show the page; its figures renew themselves every few seconds."""
    now = utc_now()
    catalogue, keys = revisions.current()
    rejected, newest = rejects.newest()
    values: dict[str, Any] = {
        "catalogue_revision": catalogue,
        "keys_revision": keys,
        "partitions": partitions.every(),
        "rejected": rejected,
        "rejects": newest,
        "unknown_keys": refusals.with_unknown_keys(now),
        "emergencies": [] if render.wants_block() else break_glass.recent(now=now),
    }
    return render.page(TEMPLATE, block="figures", platform_id=PLATFORM_ID, now=now, live=_live(now), **values)


def _live(now: datetime) -> dict[str, Any] | None:
    """Read what Redis knows; None while it does not answer, and the rest of the page stands."""
    try:
        queues = [queue(), queue(LONG_QUEUE)]
        waiting = backlog.by_bucket(redis())
        oldest = [one.oldest for one in waiting if one.oldest]
        return {
            "waiting": [one for one in waiting if one.events],
            "events": sum(one.events for one in waiting),
            "oldest": min(oldest, default=None),
            "heartbeat": backlog.heartbeat(redis()),
            "announced": _text(redis().get(revisions.REDIS_KEY)),
            "jobs_waiting": sum(one.count for one in queues),
            "failed": sorted((job for one in queues for job in jobs.failed(one)), key=lambda job: job.failed_at)[::-1],
            "as_of": now,
        }
    except RedisError:
        return None


def _text(raw: Any) -> str:
    return raw.decode() if raw else ""
