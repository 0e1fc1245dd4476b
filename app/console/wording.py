"""How figures and instants read on a page: filters of the templates, one way for all of them."""

from datetime import UTC, datetime
from decimal import Decimal

from flask import Flask

from app.units import zone

NOTHING = "\u2013"
SIZES = ((999_500_000, 1_000_000_000, "B"), (999_500, 1_000_000, "M"), (10_000, 1_000, "k"))
"""From which number on, by what it is divided, and the letter for that."""

REASONS = {
    "caller_bad_request": "Request not valid",
    "caller_request_incomplete": "Request did not arrive whole",
    "caller_request_too_large": "Request too large",
    "caller_not_authenticated": "Key not valid",
    "caller_not_allowed": "Key not made for calling models",
    "caller_model_not_found": "Unknown model",
    "caller_model_not_allowed": "Model not allowed for the key",
    "policy_rate_limited": "Rate limit reached",
    "policy_budget_exceeded": "Budget used up",
    "policy_network_not_allowed": "Network not allowed",
    "gateway_unavailable": "Gateway could not check the call, or the model had no provider",
    "gateway_bug": "Gateway failed",
}
"""Why calls are refused, by the code that counts them."""


def init_app(app: Flask) -> None:
    """Give the filters to the templates."""
    app.jinja_env.filters.update(
        local=local,
        utc=utc,
        machine=machine,
        ago=ago,
        money=money,
        exact=exact,
        plain=plain,
        number=number,
        compact=compact,
        reason=reason,
    )


def local(instant: datetime, timezone: str = "UTC") -> str:
    """Write an instant as the wall clock of a zone shows it, the zone's name behind: 2026-05-01 14:07 CEST."""
    return instant.astimezone(zone(timezone)).strftime("%Y-%m-%d %H:%M %Z")


def utc(instant: datetime) -> str:
    """Write an instant in UTC to the second."""
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def machine(instant: datetime) -> str:
    """Write an instant as programs read it."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ago(instant: datetime, now: datetime) -> str:
    """Say roughly how long before `now` an instant lies, or after it."""
    seconds = (now - instant).total_seconds()
    distance = abs(seconds)
    if distance < 60:
        return "just now"
    steps = ((60, "min"), (3600, "h"), (86_400, "d"))
    size, unit = next((step for step in reversed(steps) if distance >= step[0]), steps[0])
    return f"{int(distance // size)} {unit} ago" if seconds > 0 else f"in {int(distance // size)} {unit}"


def money(amount: Decimal | None) -> str:
    """Write US dollars: to the cent from 1 dollar on, below that as many digits as tell the amount apart from 0."""
    if amount is None:
        return NOTHING
    sign, size = ("\u2212" if amount < 0 else ""), abs(amount)
    if size == 0 or size >= 1:
        return f"{sign}${size:,.2f}"
    if size < Decimal("0.000001"):
        return f"{sign}<$0.000001"
    whole, _, fraction = f"{size:.{min(6, 2 - size.adjusted())}f}".partition(".")
    return f"{sign}${whole}.{fraction.rstrip('0').ljust(2, '0')}"


def exact(amount: Decimal | None) -> str:
    """Write US dollars with every digit there is."""
    return NOTHING if amount is None else f"{amount.normalize():,f} USD"


def plain(amount: Decimal) -> str:
    """Write a number with the digits that it has: no exponent, no zeros behind."""
    return f"{amount.normalize():f}"


def number(count: int | None) -> str:
    """Write a whole number with its thousands apart; None is not 0."""
    return NOTHING if count is None else f"{count:,}"


def compact(count: int | None) -> str:
    """Write a large number short: 12.3k, 4.56M."""
    if count is None:
        return NOTHING
    for least, size, letter in SIZES:
        if abs(count) >= least:
            return _three_digits(count / size) + letter
    return f"{count:,}"


def reason(code: str) -> str:
    """Say why calls were refused; a code of a newer release stands for itself."""
    return REASONS.get(code, code)


def _three_digits(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"
