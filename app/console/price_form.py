"""The form that changes prices: by meter, from when on, for which service tier and context length."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from app.console.forms import Form
from app.console.guard import here
from app.model.price_book import PRICED, Slot
from app.model.price_changes import Change
from app.model.prices import LIST, SERVICE_TIERS, STANDARD
from app.units import utc_now, zone

ENDS = "none"
"""Typed for a meter that is to have no price from then on."""


def change_of(form: Form, subject_id: UUID, *, kind: str = LIST) -> Change:
    """Read the form; what is wrong is among its problems."""
    slot = Slot(kind, form.text("service_tier") or STANDARD, form.whole("context_over") or 0)
    if slot.service_tier not in SERVICE_TIERS:
        form.problems["service_tier"] = "choose one from the list"
    prices = _prices(form)
    if not prices and not form.problems:
        form.problems["prices"] = "type a price for at least one meter"
    return Change(
        subject_id=subject_id,
        prices=prices,
        slot=slot,
        since=form.moment("since", timezone()),
        now=utc_now(),
        note=form.text("note"),
        by=here().person.user_id,
        seen=form.text("seen"),
    )


def timezone() -> str:
    """The zone in which this page's times are read and shown."""
    workspace = here().workspace
    return workspace.timezone if workspace else "UTC"


def past_day(since: datetime | None) -> str | None:
    """Name the day from which calls need to be recomputed after a change; None when no call was made since."""
    return since.astimezone(zone(timezone())).date().isoformat() if since and since < utc_now() else None


def said(changed: list[str], since: datetime | None) -> str:
    """Say what a change did."""
    if not changed:
        return "The prices were these already."
    if since is not None and since < utc_now():
        return "Changed. Calls since then keep their cost until it is recomputed."
    return (
        "Changed. Calls are priced by this from the time you chose." if since else "Changed. The prices count from now."
    )


def _prices(form: Form) -> dict[str, Decimal | None]:
    """Read the meters that were filled in; an empty one stays as it is."""
    found: dict[str, Decimal | None] = {}
    for meter in PRICED:
        if form.text(meter).lower() == ENDS:
            found[meter] = None
        elif (amount := form.price(meter)) is not None:
            found[meter] = amount
    return found
