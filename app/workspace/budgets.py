"""Budgets: how much a workspace, an application, a key or a model may spend in a period, and what happens then.

The rows, and who changed them. What was spent is the bill's to say: `budget_watch` compares, alerts and has
budgets act. Periods are those of the workspace's time zone.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.extensions import transaction
from app.logging import audit
from app.workspace import budget_rules, names, revisions, twins
from app.workspace.budget_rules import Budget, Rule
from app.workspace.budget_tables import BudgetAlertRow, BudgetRow
from app.workspace.names import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A threshold, in percent, that was reached."""

    period_start: datetime
    threshold: int
    spent: Decimal
    limit_usd: Decimal
    fired_at: datetime


def create(  # noqa: PLR0913  # the form is all of this
    workspace_id: UUID, rule: Rule, *, scope: str, scope_id: UUID | None, period: str, budget_id: UUID, by: UUID | None
) -> UUID:
    """Create a budget; raise `Invalid` for what cannot be. One that has the id already stays as it is."""
    budget_rules.check(rule)
    budget_rules.check_place(scope, scope_id, period)
    with transaction(workspace_id) as session, names.unique("a budget", rule.name):
        twins.wait(session, budget_id)
        if session.get(BudgetRow, (workspace_id, budget_id)):
            return budget_id
        row = BudgetRow(workspace_id=workspace_id, budget_id=budget_id, scope=scope, scope_id=scope_id, period=period)
        row.created_by = by
        _set(row, rule)
        session.add(row)
        session.flush()
        place = {"scope": scope, "scope_id": scope_id, "period": period}
        audit.record("budget.create", kind="budget", id=budget_id, name=rule.name, after=place | asdict(rule))
    return budget_id


def edit(workspace_id: UUID, budget_id: UUID, rule: Rule) -> None:
    """Change what a budget says. What it does follows: calls that now fit pass within a second."""
    budget_rules.check(rule)
    with transaction(workspace_id) as session, names.unique("a budget", rule.name):
        row = _open(session, workspace_id, budget_id)
        before = _rule(row)
        _set(row, rule)
        row.checked_at = None
        if row.acting_since:
            _follow(row)
        session.flush()
        was, now = asdict(before), asdict(rule)
        audit.record("budget.update", kind="budget", id=budget_id, name=rule.name, before=was, after=now)


def archive(workspace_id: UUID, budget_id: UUID, *, now: datetime) -> None:
    """End a budget: it acts and alerts no more, its alerts stay."""
    with transaction(workspace_id) as session:
        row = _open(session, workspace_id, budget_id)
        row.archived_at = now
        if row.acting_since:
            release(row, revisions.bump_keys())
        name = row.name
        row.name = f"{name[: names.LONGEST - 40]} {budget_id}"  # so that another one may have its name
        audit.record("budget.archive", kind="budget", id=budget_id, name=name, after={"archived_at": now})


def get(workspace_id: UUID, budget_id: UUID) -> Budget:
    """Read a budget that was not archived; raise `NotFound`."""
    with transaction(workspace_id) as session:
        return value(_open(session, workspace_id, budget_id))


def all_of(workspace_id: UUID) -> list[Budget]:
    """List the budgets that count, by name."""
    statement = select(BudgetRow).where(BudgetRow.workspace_id == workspace_id, BudgetRow.archived_at.is_(None))
    with transaction(workspace_id) as session:
        return [value(row) for row in session.scalars(statement.order_by(BudgetRow.name))]


def alerts_of(workspace_id: UUID, budget_id: UUID, *, limit: int = 50) -> list[Alert]:
    """List the newest alerts of a budget."""
    row = BudgetAlertRow
    statement = select(row).where(row.workspace_id == workspace_id, row.budget_id == budget_id)
    with transaction(workspace_id) as session:
        found = session.scalars(statement.order_by(row.fired_at.desc(), row.threshold.desc()).limit(limit))
        return [
            Alert(
                period_start=one.period_start,
                threshold=one.threshold,
                spent=one.spent,
                limit_usd=one.limit_usd,
                fired_at=one.fired_at,
            )
            for one in found
        ]


def release(row: BudgetRow, revision: int) -> None:
    """Have a budget let calls pass again."""
    row.acting_since = row.acting_until = row.acting_spent = None
    row.revision = revision


def value(row: BudgetRow) -> Budget:
    """Make a budget of its row."""
    return Budget(
        budget_id=row.budget_id,
        scope=row.scope,
        scope_id=row.scope_id,
        period=row.period,
        rule=_rule(row),
        created_at=row.created_at,
        acting_since=row.acting_since,
        acting_until=row.acting_until,
    )


def _follow(row: BudgetRow) -> None:
    """Have a budget that acts do what it now says, if what was spent still reaches its limit."""
    if row.action == "notify" or (row.acting_spent is not None and row.acting_spent < row.limit_usd):
        release(row, revisions.bump_keys())
    else:
        row.revision = revisions.bump_keys()


def _open(session: Session, workspace_id: UUID, budget_id: UUID) -> BudgetRow:
    row = session.get(BudgetRow, (workspace_id, budget_id), with_for_update=True)
    if row is None or row.archived_at:
        raise NotFound(f"there is no budget {budget_id}")
    return row


def _set(row: BudgetRow, rule: Rule) -> None:
    row.name, row.limit_usd, row.thresholds = rule.name, rule.limit_usd, list(rule.thresholds)
    row.action, row.downgrade_to = rule.action, rule.downgrade_to


def _rule(row: BudgetRow) -> Rule:
    return Rule(
        name=row.name,
        limit_usd=row.limit_usd,
        thresholds=tuple(row.thresholds),
        action=row.action,
        downgrade_to=row.downgrade_to,
    )
