"""Recomputes as people order them: a dry run, what it says for each application, and then the same for good.

Orders and cancellations are recorded in the audit trail. The worker's jobs do the work (see `rating_jobs`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.billing import retention
from app.billing.rating_steps import APPLY, CANCELLED, DONE, DRY_RUN, GOING
from app.billing.rating_tables import RatingDeltaRow, RatingRunRow
from app.extensions import execute, transaction
from app.logging import audit
from app.workspace import names
from app.workspace.names import Invalid, NotFound

SHOWN = 50
Row = RatingRunRow

_IN_TURN = "select pg_advisory_xact_lock(hashtextextended('rating_run ' || :workspace, 0))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run. `delta` is what its calls cost more than before; `calls` is 0 until it has begun."""

    run_id: UUID
    kind: str
    state: str
    since: datetime
    until: datetime
    model_id: UUID | None
    reason: str
    calls: int
    calls_done: int
    changed: int
    delta: Decimal
    created_by: UUID | None
    created_at: datetime
    finished_at: datetime | None

    @property
    def is_going(self) -> bool:
        """Tell whether there is anything left to do."""
        return self.state in GOING

    @property
    def may_be_applied(self) -> bool:
        """Tell whether this is a dry run that has ended and found calls."""
        return self.kind == DRY_RUN and self.state == DONE and bool(self.calls_done)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What a run found for an application in a month. `is_closed`: a correction carries it."""

    application_id: UUID
    month: date
    is_closed: bool
    calls: int
    before: Decimal
    after: Decimal
    unpriced_before: int
    unpriced_after: int


def listed(workspace_id: UUID) -> list[Run]:
    """List the newest runs, the newest first."""
    with transaction(workspace_id) as session:
        asked = select(Row).where(Row.workspace_id == workspace_id).order_by(Row.created_at.desc(), Row.run_id.desc())
        return [_value(row) for row in session.scalars(asked.limit(SHOWN))]


def get(workspace_id: UUID, run_id: UUID) -> Run:
    """Read one run; raise `NotFound`."""
    with transaction(workspace_id) as session:
        return _value(_row(session, workspace_id, run_id))


def deltas(workspace_id: UUID, run_id: UUID) -> list[Delta]:
    """Read what a run found by application and month, what changes most first."""
    row = RatingDeltaRow
    by = (row.application_id, row.month, row.is_closed)
    sums = (row.calls, row.before, row.after, row.unpriced_before, row.unpriced_after)
    changed = func.abs(func.sum(row.after - row.before)).desc()
    mine = (row.workspace_id == workspace_id, row.run_id == run_id)
    asked = select(*by, *(func.sum(one).label(one.key) for one in sums)).where(*mine)
    asked = asked.group_by(*by).order_by(changed, row.month, row.application_id)
    with transaction(workspace_id) as session:
        return [_delta(found) for found in session.execute(asked)]


def try_out(  # noqa: PLR0913 - a run is all of this
    workspace_id: UUID,
    since: datetime,
    until: datetime,
    reason: str,
    *,
    run_id: UUID,
    model_id: UUID | None = None,
    by: UUID | None = None,
) -> UUID:
    """Order a dry run over the calls from `since` until `until`. Raise `Invalid`. The same `run_id` makes one run."""
    names.check("reason", reason)
    if since >= until:
        raise Invalid("to", "must not lie before the first day")
    with transaction(workspace_id) as session:
        if session.get(Row, (workspace_id, run_id)) is None:
            _check_kept(session, "from", since)
            row = Row(workspace_id=workspace_id, run_id=run_id, kind=DRY_RUN, since=since, until=until)
            row.model_id, row.reason, row.created_by = model_id, reason, by
            _add(session, row)
    return run_id


def apply(workspace_id: UUID, dry_run_id: UUID, *, run_id: UUID, by: UUID | None = None) -> UUID:
    """Order for good what a dry run has shown. Raise `Invalid` when it has not ended well, or another one is going."""
    with transaction(workspace_id) as session:
        shown = _row(session, workspace_id, dry_run_id)
        if session.get(Row, (workspace_id, run_id)) is not None:
            return run_id
        if not _value(shown).may_be_applied:
            raise Invalid("run", "is no dry run that has ended and found calls")
        _check_kept(session, "run", shown.since)
        execute(session, _IN_TURN, workspace=str(workspace_id))
        mine = (Row.workspace_id == workspace_id, Row.kind == APPLY, Row.state.in_(GOING))
        if session.scalar(select(func.count()).where(*mine)):
            raise Invalid("run", "must wait: another recompute of this workspace is going")
        row = Row(workspace_id=workspace_id, run_id=run_id, kind=APPLY, since=shown.since, until=shown.until)
        row.model_id, row.reason, row.created_by = shown.model_id, shown.reason, by
        _add(session, row)
    return run_id


def cancel(workspace_id: UUID, run_id: UUID, *, now: datetime) -> None:
    """Stop a run after its present day. What it has replaced or corrected stays. Raise `Invalid` when it has ended."""
    with transaction(workspace_id) as session:
        row = _row(session, workspace_id, run_id)
        going = (Row.workspace_id == workspace_id, Row.run_id == run_id, Row.state.in_(GOING))
        stopped = update(Row).where(*going).values(state=CANCELLED, finished_at=now).returning(Row.run_id)
        if session.scalar(stopped) is None:
            raise Invalid("run", "has ended already")
        audit.record("rating.cancel", kind="rating_run", id=run_id, name=row.reason, after={"state": CANCELLED})


def _check_kept(session: Session, field: str, since: datetime) -> None:
    """Raise `Invalid` when calls from `since` on may be gone: what is left of their days would pass for all of them."""
    kept = retention.kept_since_in(session)
    if kept and since < kept:
        raise Invalid(field, f"begins too early: calls before {kept:%Y-%m-%d %H:%M} UTC are past their retention")


def _add(session: Session, row: RatingRunRow) -> None:
    session.add(row)
    session.flush()
    told = {"since": row.since.isoformat(), "until": row.until.isoformat(), "reason": row.reason}
    if row.model_id:
        told["model_id"] = str(row.model_id)
    audit.record(f"rating.{row.kind}", kind="rating_run", id=row.run_id, name=row.reason, after=told)


def _row(session: Session, workspace_id: UUID, run_id: UUID) -> RatingRunRow:
    row = session.get(Row, (workspace_id, run_id), populate_existing=True)
    if row is None:
        raise NotFound(f"there is no rating run {run_id}")
    return row


def _value(row: RatingRunRow) -> Run:
    return Run(**{name: getattr(row, name) for name in Run.__dataclass_fields__})


def _delta(found: Any) -> Delta:
    counts: dict[str, Any] = {n: int(getattr(found, n)) for n in ("calls", "unpriced_before", "unpriced_after")}
    money = {name: getattr(found, name) for name in ("before", "after")}
    return Delta(application_id=found.application_id, month=found.month, is_closed=found.is_closed, **counts, **money)


def total(found: Sequence[Delta]) -> tuple[Decimal, Decimal]:
    """Add deltas up: before and after."""
    nothing = Decimal(0)
    return sum((one.before for one in found), nothing), sum((one.after for one in found), nothing)
