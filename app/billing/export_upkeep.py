"""The worker's turn with exports: order what is due, have a job make what waits, delete what has expired."""

import logging
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb
from rq import Queue
from rq.job import Job, JobStatus

from app.billing import export_files, export_schedules, export_what
from app.billing.export_jobs import JOB
from app.billing.jobs import FAILURE_TTL_S
from app.units import new_id, zone

JOB_TIMEOUT_S = 3600
LOST = "The worker ended before the file was whole. Order it again."
GONE = (None, JobStatus.FINISHED, JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED)

_DUE = """
    select s.workspace_id, s.schedule_id, s.what, s.every, s.next_at, s.created_by, w.timezone
    from export_schedule s join workspace w using (workspace_id)
    where s.enabled and s.next_at <= %s and w.archived_at is null
    order by s.next_at limit 20 for update of s skip locked"""
_ORDER = """
    insert into export_job (workspace_id, export_id, schedule_id, what, as_of, created_by)
    values (%s, %s, %s, %s, %s, %s) on conflict do nothing"""
_UNDER_WAY = """
    select workspace_id, export_id, what, state from export_job where state in ('waiting', 'running') order by export_id"""
_LOST = "update export_job set state = 'failed', problem = %s, finished_at = now() where export_id = %s and state = 'running'"
_EXPIRED = """
    update export_job e set file = null from export_job old
    where e.workspace_id = old.workspace_id and e.export_id = old.export_id and e.file is not null and e.expires_at <= %s
    returning old.file"""

log = logging.getLogger(__name__)


def turn(connection: psycopg.Connection[Any], queue: Queue, home: Path, *, now: datetime) -> None:
    """Do all of it. `connection` is the worker's own, outside of any transaction."""
    order_due(connection, now=now)
    enqueue(connection, queue, home)
    expire(connection, home, now=now)


def order_due(connection: psycopg.Connection[Any], *, now: datetime) -> int:
    """Order the exports of schedules whose time has come, each once; return how many."""
    with connection.transaction():
        rows = connection.execute(_DUE, [now]).fetchall()
        for workspace_id, schedule_id, what, every, at, by, timezone in rows:
            in_zone = zone(timezone)
            asked = export_schedules.due(export_what.of(what), every, at, in_zone)
            stored = Jsonb(export_what.checked(asked).stored())
            connection.execute(_ORDER, [workspace_id, new_id(), schedule_id, stored, at, by])
            following = export_schedules.next_at(every, at, in_zone)
            moved = [following, workspace_id, schedule_id]
            connection.execute(
                "update export_schedule set next_at = %s where workspace_id = %s and schedule_id = %s", moved
            )
    return len(rows)


def enqueue(connection: psycopg.Connection[Any], queue: Queue, home: Path) -> None:
    """Have a job make each export that waits; one whose job is gone has failed, and leaves no half of a file."""
    rows = connection.execute(_UNDER_WAY).fetchall()
    statuses = _statuses([_job_id(export_id) for _, export_id, _, _ in rows], queue)
    for (workspace_id, export_id, what, state), status in zip(rows, statuses, strict=True):
        if status not in GONE:
            continue
        if state == "waiting":
            start(export_id, queue)
        elif connection.execute(_LOST, [LOST, export_id]).rowcount:
            log.warning("an export's job is gone", extra={"export_id": str(export_id)})
            name = export_files.name_of(workspace_id, export_id, export_what.of(what))
            export_files.delete(export_files.path_of(home, name))


def start(export_id: UUID, queue: Queue) -> None:
    """Enqueue the job that makes an export's file."""
    options: dict[str, Any] = {"result_ttl": 0, "failure_ttl": FAILURE_TTL_S, "job_timeout": JOB_TIMEOUT_S}
    queue.enqueue(JOB, str(export_id), job_id=_job_id(export_id), **options)


def expire(connection: psycopg.Connection[Any], home: Path, *, now: datetime) -> int:
    """Delete the files that have been kept long enough; what was exported stays on the list. Return how many."""
    files = [row[0] for row in connection.execute(_EXPIRED, [now]).fetchall()]
    for file in files:
        export_files.delete(export_files.path_of(home, file))
    return len(files)


def _job_id(export_id: UUID) -> str:
    return f"export-{export_id}"


def _statuses(job_ids: list[str], queue: Queue) -> list[JobStatus | None]:
    """Read how jobs are; None for one that Redis does not know."""
    found = Job.fetch_many(job_ids, queue.connection, serializer=queue.serializer)
    return [job.get_status(refresh=False) if job else None for job in found]
