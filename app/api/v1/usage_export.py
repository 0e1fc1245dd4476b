"""`GET /api/v1/usage/export.csv`: every call of some days, streamed, as the usage page's button gives them."""

from datetime import date, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flask import Response, request

from app.api.v1.door import blueprint, managed, workspace
from app.billing import exports
from app.billing.exports import FLAVOURS, MACHINE
from app.billing.figures import Only, Scope
from app.errors import BadRequest
from app.units import start_of_day, zone

EARLIEST, LATEST = date(2020, 1, 1), date(2100, 1, 1)
MOST_DAYS = 800
KNOWN = frozenset({"from", "to", "tz", "for", "application", "model", "key", "workspace"})


@blueprint.get("/usage/export.csv")
@managed
def calls() -> Response:
    """Stream the calls from the day `from` to the day `to`, both included, of the zone `tz`, else the workspace's own.

    Cut short, the answer ends without its last chunk.
    """
    unknown = sorted(set(request.args) - KNOWN)
    if unknown:
        raise BadRequest(f"There is no parameter {unknown[0]!r}.", param=unknown[0])
    asked = workspace()
    first, last, in_zone = _day("from"), _day("to"), _zone(asked.timezone)
    if not 0 <= (last - first).days < MOST_DAYS:
        raise BadRequest(f"'to' must lie within {MOST_DAYS} days from 'from'.", param="to")
    start, end = start_of_day(first, in_zone), start_of_day(last + timedelta(days=1), in_zone)
    only = Only(application=_id("application"), model=_id("model"), key=_id("key"))
    flavour = request.args.get("for", MACHINE)
    if flavour not in FLAVOURS:
        raise BadRequest(f"'for' must be one of {', '.join(FLAVOURS)}.", param="for")
    export = exports.calls(Scope(workspace_id=asked.workspace_id, start=start, end=end, only=only), flavour)
    try:
        told = {"from": str(first), "to": str(last), "timezone": in_zone.key, "flavour": flavour}
        exports.note(asked.workspace_id, "calls", told | {name: str(one) for name, one in only.given.items()})
    except BaseException:
        export.close()
        raise
    response = Response(export.chunks, content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="calls-{first}-to-{last}.csv"'
    response.call_on_close(export.close)
    return response


def _day(name: str) -> date:
    raw = request.args.get(name, "")
    try:
        day = date.fromisoformat(raw)
    except ValueError:
        day = date.min
    if not EARLIEST <= day < LATEST:
        raise BadRequest(f"'{name}' must be a day such as 2026-05-31.", param=name)
    return day


def _zone(own: str) -> ZoneInfo:
    asked = request.args.get("tz") or own
    try:
        return zone(asked)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadRequest(f"'tz' must be a time zone such as Europe/Berlin, not {asked!r}.", param="tz") from error


def _id(name: str) -> UUID | None:
    raw = request.args.get(name, "")
    try:
        return UUID(raw) if raw else None
    except ValueError as error:
        raise BadRequest(f"'{name}' must be an id.", param=name) from error
