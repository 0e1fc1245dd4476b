"""Step 3: what used-up budgets do to a call: refuse it, or send it to a cheaper model. What costs nothing passes.

Which budgets act comes with the key; each stops when its period ends, whether or not the worker runs.
"""

from datetime import UTC, datetime

from app.auth.callers import Acting
from app.errors import BudgetSpent
from app.gateway.call import Call
from app.gateway.process import Process
from app.model.catalogue import Alias

SCOPES = {
    "workspace": "this workspace",
    "application": "this application",
    "key": "this API key",
    "model": "this model",
}


def check(process: Process, call: Call, now: datetime) -> None:
    """Let the call pass, or change the model that it goes to; raise `BudgetSpent` when a budget refuses it.

    One budget may send it to a model whose own budget is used up: then that one decides. A budget
    that refuses comes before those that do not, so no model is a way around it.
    """
    acting = [one for one in call.caller.acting if one.until is None or now < one.until]
    while (one := _first(acting, call.alias)) and not call.alias.is_free_for(call.caller.workspace_id, now):
        cheaper = _cheaper(process, call, one)
        if cheaper is None:
            raise BudgetSpent(_message(one), retry_after_s=(one.until - now).total_seconds() if one.until else None)
        acting = [other for other in acting if other is not one]
        if cheaper is not call.alias:
            call.alias, call.budget = cheaper, one.name


def _first(acting: list[Acting], alias: Alias) -> Acting | None:
    """Find the budget that decides about a call to a model: one that refuses, before one that does not."""
    about = [one for one in acting if one.model_id in (None, alias.model_id)]
    return min(about, key=lambda one: one.downgrade_to is not None, default=None)


def _cheaper(process: Process, call: Call, one: Acting) -> Alias | None:
    """Find the model to use instead, if the budget has one and the key may use it."""
    if one.downgrade_to is None or not call.caller.may_use(one.downgrade_to):
        return None
    return process.known.models.find(call.caller.workspace_id, one.downgrade_to)


def _message(one: Acting) -> str:
    resets = f"It resets at {one.until.astimezone(UTC):%Y-%m-%d %H:%M} UTC." if one.until else "It does not reset."
    return (
        f"The budget {one.name!r} of {SCOPES[one.scope]} is used up: ${one.spent_usd.normalize():f} of"
        f" ${one.limit_usd.normalize():f} spent. {resets}"
    )
