"""What people and programs are told of a budget."""

from decimal import Decimal
from typing import Any

from app.units import money_text, zone
from app.workspace.budget_rules import Rule
from app.workspace.budget_states import Standing, Watched
from app.workspace.deliveries import Message

EVENT = "budget"


def message(workspace: Watched, found: Standing, threshold: int, public_url: str) -> Message:
    """Say that a threshold was reached."""
    budget, rule = found.budget, found.budget.rule
    text = f"${_short(found.spent)} of ${_short(rule.limit_usd)} spent. {_does(rule, found)}{_resets(found, workspace)}"
    path = f"/w/{workspace.workspace_id}/budgets/{budget.budget_id}"
    return Message(
        event=EVENT,
        about=f"{budget.budget_id} {found.start.isoformat()} {threshold}",
        title=f"{workspace.name}: budget {rule.name} has reached {threshold}%",
        text=text.strip(),
        link=public_url + path if public_url else None,
        details=_details(workspace, found, threshold),
    )


def _details(workspace: Watched, found: Standing, threshold: int) -> dict[str, Any]:
    budget, rule = found.budget, found.budget.rule
    return {
        "workspace_id": str(workspace.workspace_id),
        "workspace": workspace.name,
        "budget_id": str(budget.budget_id),
        "budget": rule.name,
        "scope": budget.scope,
        "scope_id": str(budget.scope_id) if budget.scope_id else None,
        "period": budget.period,
        "period_start": found.start.isoformat(),
        "resets_at": found.end.isoformat() if found.end else None,
        "threshold_percent": threshold,
        "spent_usd": money_text(found.spent),
        "limit_usd": money_text(rule.limit_usd),
        "action": rule.action,
    }


def _does(rule: Rule, found: Standing) -> str:
    if not found.acts:
        return ""
    return "Calls are refused. " if rule.action == "block" else f"Calls go to {rule.downgrade_to}. "


def _resets(found: Standing, workspace: Watched) -> str:
    if found.end is None:
        return "It does not reset."
    return f"It resets at {found.end.astimezone(zone(workspace.timezone)):%Y-%m-%d %H:%M} ({workspace.timezone})."


def _short(amount: Decimal) -> str:
    """Write dollars with cents, and with more digits where there are some: 1,234.50, 0.000315."""
    whole, _, decimals = money_text(amount).partition(".")
    return f"{int(whole):,}.{decimals.rstrip('0').ljust(2, '0')}"
