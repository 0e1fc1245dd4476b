"""How budgets stand, as the worker writes it down: which thresholds were told of, and which budgets act on calls.

Each function works in the session it is given, which may touch every workspace, and takes as many
statements for thousands of budgets as for one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.workspace import budget_rules, revisions
from app.workspace.budget_rules import Budget
from app.workspace.budget_tables import BudgetAlertRow, BudgetRow
from app.workspace.tables import WorkspaceRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A workspace that has budgets. `is_due`: one of them was changed, or acts longer than its period."""

    workspace_id: UUID
    name: str
    timezone: str
    is_due: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What was spent of a budget in a period; `end` None: it has no end. `unpriced` calls are not in what was spent."""

    budget: Budget
    spent: Decimal
    unpriced: int
    start: datetime
    end: datetime | None

    @property
    def acts(self) -> bool:
        """Whether calls are to be refused or sent elsewhere."""
        return self.budget.rule.action != "notify" and self.spent >= self.budget.rule.limit_usd

    @property
    def percent(self) -> Decimal | None:
        """How much of a hundred is spent; None of a limit of 0."""
        limit = self.budget.rule.limit_usd
        return self.spent * 100 / limit if limit else None

    @property
    def is_news(self) -> bool:
        """Whether proxies must learn of it."""
        if self.budget.acting_since is None:
            return self.acts
        return not self.acts or self.budget.acting_until != self.end


def watched(session: Session, now: datetime) -> list[Watched]:
    """List the open workspaces that have budgets."""
    due = func.bool_or(or_(BudgetRow.checked_at.is_(None), func.coalesce(BudgetRow.acting_until <= now, False)))
    statement = (
        select(WorkspaceRow.workspace_id, WorkspaceRow.name, WorkspaceRow.timezone, due)
        .join(BudgetRow, BudgetRow.workspace_id == WorkspaceRow.workspace_id)
        .where(BudgetRow.archived_at.is_(None), WorkspaceRow.archived_at.is_(None))
        .group_by(WorkspaceRow.workspace_id)
        .order_by(WorkspaceRow.workspace_id)
    )
    return [
        Watched(workspace_id=workspace_id, name=name, timezone=timezone, is_due=is_due)
        for workspace_id, name, timezone, is_due in session.execute(statement)
    ]


def locked(session: Session, workspace_id: UUID) -> list[BudgetRow]:
    """List a workspace's budgets; whoever edits one of them meanwhile waits, and so does another worker."""
    mine = (BudgetRow.workspace_id == workspace_id, BudgetRow.archived_at.is_(None))
    return list(session.scalars(select(BudgetRow).where(*mine).order_by(BudgetRow.budget_id).with_for_update()))


def fire(session: Session, workspace_id: UUID, standings: Sequence[Standing]) -> list[tuple[Standing, int]]:
    """Write down the thresholds that were reached; give back those that are new in their period, the lowest first."""
    reached = [(one, percent) for one in standings for percent in budget_rules.reached(one.budget.rule, one.spent)]
    if not reached:
        return []
    row = BudgetAlertRow
    new = insert(row).on_conflict_do_nothing().returning(row.budget_id, row.threshold)
    values = [_alert(workspace_id, one, percent) for one, percent in reached]
    fired = {(budget_id, percent) for budget_id, percent in session.execute(new, values)}
    return [(one, percent) for one, percent in reached if (one.budget.budget_id, percent) in fired]


def note(session: Session, rows: Sequence[BudgetRow], standings: Sequence[Standing], now: datetime) -> None:
    """Have budgets begin or stop to act, all of a workspace as one revision of the keys; note that they were looked at.

    The standings are those of the rows, in their order.
    """
    revision = revisions.count_keys(session) if any(one.is_news for one in standings) else 0
    pairs = [(row, _after(row, found, now, revision)) for row, found in zip(rows, standings, strict=True)]
    changed = [after for row, after in pairs if any(getattr(row, name) != value for name, value in after.items())]
    if changed:
        session.execute(update(BudgetRow), changed)


def _after(row: BudgetRow, found: Standing, now: datetime, revision: int) -> dict[str, Any]:
    """Say what a budget's row is to hold."""
    acts = found.acts
    return {
        "workspace_id": row.workspace_id,
        "budget_id": row.budget_id,
        "checked_at": row.checked_at or now,
        "acting_since": (row.acting_since or now) if acts else None,
        "acting_until": found.end if acts else None,
        "acting_spent": found.spent if acts else None,
        "revision": revision if found.is_news else row.revision,
    }


def _alert(workspace_id: UUID, found: Standing, threshold: int) -> dict[str, Any]:
    return {
        "workspace_id": workspace_id,
        "budget_id": found.budget.budget_id,
        "period_start": found.start,
        "threshold": threshold,
        "spent": found.spent,
        "limit_usd": found.budget.rule.limit_usd,
    }
