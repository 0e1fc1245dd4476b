import csv
import io
from datetime import date, timedelta
from decimal import Decimal

import httpx
import pytest

from app.application import applications, keys
from app.billing import copying, exports
from app.billing.questions import span_of
from app.console import guard
from app.console.wording import exact
from app.logging import entries
from app.model import models, price_book
from app.units import new_id, utc_now
from app.workspace import workspaces
from tests import people
from tests.billing.books import NOON, call
from tests.console import reading
from tests.factories import P_STD, make_provider, unique

HTMX = {"HX-Request": "true"}
TODAY = utc_now().date()
DAYS = {"from": str(NOON.date()), "to": str(NOON.date())}


@pytest.fixture
def payer(app, acme):
    return people.member(acme, "billing").client(app)


@pytest.fixture
def scene(acme, books):
    """Two applications with a key each and a priced and an unpriced model: three calls, one call, one without a price."""
    provider_id = make_provider(acme, "http://127.0.0.1:1/v1")
    priced = models.save(acme, "m", [models.Deployment(provider_id=provider_id, upstream_model="up")])
    price_book.set_prices(acme, priced, dict(P_STD), now=utc_now())
    ids = {"priced": priced, "unpriced": new_id()}
    for name in ("chatbot", "search"):
        ids[name] = applications.create(acme, name)
        ids[f"{name} key"] = keys.create(acme, ids[name], f"{name} key", models=["*"]).key_id
    for name, model, count in (("chatbot", "priced", 3), ("search", "priced", 1), ("search", "unpriced", 1)):
        who = {"application_id": ids[name], "key_id": ids[f"{name} key"], "model_id": ids[model]}
        books.put(*(call(acme, **who) for _ in range(count)))
    books.take()
    return ids


def root(workspace_id):
    return f"/w/{workspace_id}/usage"


def table_of(page):
    """The lines of the page's table, as rows of texts."""
    text = page.get_data(as_text=True)
    inside = text[text.index('aria-label="Usage by') :]
    rows = inside[: inside.index("</table>")].split("<tr>")[1:]
    return [[reading.text(f"<td{cell}") for cell in row.replace("<td", "<th").split("<th")[1:]] for row in rows]


def rows_of(answer):
    assert answer.status_code == 200
    return list(csv.DictReader(io.StringIO(answer.get_data().decode("utf-8-sig"), newline="")))


@pytest.mark.usefixtures("scene")
def test_page_chart_and_csv_say_the_same(acme, payer):
    page = payer.get(root(acme), query_string=DAYS | {"group": "application"})
    file = rows_of(payer.get(f"{root(acme)}.csv", query_string=DAYS | {"group": "application"}))

    values = [
        Decimal(given["data-value"])
        for tag, given in reading.attributes(page)
        if tag == "td" and given.get("data-value")
    ]
    titles = [
        given["title"] for tag, given in reading.attributes(page) if tag == "span" and "USD" in given.get("title", "")
    ]
    assert {"chatbot": "0.00063", "search": "0.00021"} == {row["application"]: row["billed_cost"] for row in file}
    assert Decimal("0.00084") == sum(values) == sum(Decimal(row["billed_cost"]) for row in file)
    assert {exact(Decimal("0.00063")), exact(Decimal("0.00021")), exact(Decimal("0.00084"))} <= set(titles)
    head, *lines, foot = table_of(page)
    assert ["All 2", "5", "0", "50", "500"] == foot[:5]
    assert [["chatbot", "3"], ["search", "2"]] == [line[:2] for line in lines]
    assert "1 unpriced" in lines[1][-1]
    assert "Application" in head[0]


def test_what_has_no_price_is_unpriced_and_not_zero(acme, scene, payer):
    page = payer.get(root(acme), query_string=DAYS | {"group": "model", "model": scene["unpriced"]})
    (row,) = rows_of(payer.get(f"{root(acme)}.csv", query_string=DAYS | {"group": "model", "model": scene["unpriced"]}))

    assert "unpriced" in table_of(page)[1][-2]
    assert ("", "1") == (row["billed_cost"], row["unpriced"])


def test_following_a_line_filters_by_it_and_the_filter_can_be_taken_away(acme, scene, payer):
    page = payer.get(root(acme), query_string=DAYS | {"group": "application"})
    (line,) = {link for link in reading.links(page) if f"application={scene['search']}" in link}

    inside = payer.get(line)
    without = next(
        link
        for link in reading.links(inside)
        if "application=" not in link and "group=key" in link and "period" not in link
    )

    assert [["search key", "2"]] == [[row[0].removesuffix(" search"), row[1]] for row in table_of(inside)[1:-1]]
    assert "All 2" == table_of(payer.get(without))[-1][0]
    assert payer.get(line).status_code == 200


@pytest.mark.parametrize("group", ["application", "model", "key", "day", "month"])
def test_each_grouping_adds_up_to_the_same(acme, scene, payer, group):
    page = payer.get(root(acme), query_string=DAYS | {"group": group})
    foot = table_of(page)[-1]

    assert scene
    assert ["5", "0", "50", "500", "$0.00084"] == foot[1:6]


def test_bc_037_the_total_is_the_same_on_every_page(acme, books, payer):
    books.put(*(call(acme) for _ in range(120)))
    books.take()

    first = payer.get(root(acme), query_string=DAYS | {"group": "key"})
    (following,) = {link for link in reading.links(first) if "after=" in link}
    second = payer.get(following)

    assert [53, 53] == [len(table_of(page)) for page in (first, second)]
    assert [["70 others", "70"]] * 2 == [table_of(page)[-2][:2] for page in (first, second)]
    assert table_of(first)[-1] == table_of(second)[-1]
    told = [{link for link in reading.links(page) if "&key=" in link} for page in (first, second)]
    assert ([50, 50], set()) == ([len(links) for links in told], told[0] & told[1])


def test_the_report_alone_is_what_htmx_gets(acme, scene, payer):
    whole = payer.get(root(acme), query_string=DAYS)
    part = payer.get(root(acme), query_string=DAYS, headers=HTMX)

    assert scene
    assert reading.is_whole_page(whole)
    assert not reading.is_whole_page(part)
    assert table_of(whole) == table_of(part)
    assert ("div", {"id": "report", "class": "stack"}) == reading.attributes(part)[0]


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ({"from": "yesterday"}, "must be a day"),
        ({"from": "0001-01-01"}, "must be a day"),
        ({"to": "9999-12-31"}, "must be a day"),
        ({"from": "2026-05-02", "to": "2026-05-01"}, "must not lie before the first day"),
        ({"from": "2024-01-01", "to": "2026-05-01"}, "must lie within 400 days"),
    ],
)
def test_days_that_cannot_be_meant_are_refused(acme, payer, query, problem):
    page = payer.get(root(acme), query_string=query)
    files = [payer.get(f"{root(acme)}{end}", query_string=query) for end in (".csv", "/calls.csv")]

    assert (422, [400, 400]) == (page.status_code, [file.status_code for file in files])
    assert problem in reading.text(page)


def test_nonsense_in_the_address_breaks_nothing(acme, scene, payer):
    query = {
        "group": "<script>",
        "show": "x",
        "application": "'",
        "model": "1",
        "after": "~~",
        "period": "ever",
        "for": "x",
    }

    page = payer.get(root(acme), query_string=query)

    assert scene
    assert page.status_code == 200
    assert "<script>" not in page.get_data(as_text=True)
    assert payer.get(f"{root(acme)}.csv", query_string=query).status_code == 200


def test_periods_are_days_of_the_zone():
    today = date(2026, 3, 1)

    assert {
        "today": (today, today),
        "yesterday": (date(2026, 2, 28), date(2026, 2, 28)),
        "7d": (date(2026, 2, 23), today),
        "30d": (date(2026, 1, 31), today),
        "month": (today, today),
        "last-month": (date(2026, 2, 1), date(2026, 2, 28)),
    } == {name: span_of(name, today) for name in ("today", "yesterday", "7d", "30d", "month", "last-month")}


def test_days_without_calls_say_so(acme, payer):
    page = payer.get(root(acme))

    assert "No calls" in reading.text(page)
    assert payer.get(f"{root(acme)}.csv").get_data().count(b"\n") == 1


def test_names_are_shown_as_text_whatever_they_hold(acme, books, payer):
    name = "<b>\"x\"</b> & 'y' 😀 שלום"
    application_id = applications.create(acme, name)
    books.put(call(acme, application_id=application_id))
    books.take()

    page = payer.get(root(acme), query_string=DAYS)

    assert name in reading.text(page)
    assert "<b>" not in page.get_data(as_text=True)
    assert name in {given.get("data-name") for _, given in reading.attributes(page)}


def test_bc_115_every_call_of_the_filter_comes_and_the_file_says_what_it_is(acme, scene, payer):
    query = DAYS | {"application": scene["search"], "group": "model", "for": "spreadsheet"}

    answer = payer.get(f"{root(acme)}/calls.csv", query_string=query)

    assert ["search", "search"] == [row["application"] for row in rows_of(answer)]
    assert "text/csv; charset=utf-8" == answer.headers["Content-Type"]
    assert 'attachment; filename="calls-2026-11-10-to-2026-11-10.csv"' == answer.headers["Content-Disposition"]
    assert answer.get_data().startswith(b"\xef\xbb\xbfoccurred_at_utc,")


def test_an_export_is_written_into_the_audit_trail(acme, scene, payer):
    payer.get(f"{root(acme)}/calls.csv", query_string=DAYS | {"application": scene["search"]})

    (entry,) = [
        one for one in entries.listed(acme, entries.Wanted(), after=None, limit=99) if one.action == "usage.export"
    ]
    assert ("calls", payer.person.email) == (entry.object_name, entry.actor_name)
    assert str(scene["search"]) == entry.after["application"]


def test_a_role_that_may_not_export_sees_no_button_and_gets_no_file(app, acme, scene):
    viewer = people.member(acme, "viewer").client(app)

    page = viewer.get(root(acme), query_string=DAYS)

    assert scene
    assert page.status_code == 200
    assert not [link for link in reading.links(page) if ".csv" in link]
    assert [403, 403] == [viewer.get(f"{root(acme)}{end}").status_code for end in (".csv", "/calls.csv")]


def test_somebody_elses_workspace_is_not_there(app, acme):
    stranger = people.member(workspaces.create(unique("other")), "owner").client(app)

    assert [404] * 3 == [stranger.get(f"{root(acme)}{end}").status_code for end in ("", ".csv", "/calls.csv")]


def test_an_export_that_is_left_early_makes_room(acme, books, payer):
    books.put(*(call(acme) for _ in range(3 * copying.ROWS_AT_ONCE)))
    books.take()
    address = f"{root(acme)}/calls.csv"

    for _ in range(exports.MOST_AT_ONCE + 1):
        payer.client.get(address, query_string=DAYS).close()

    with payer.client.get(address, query_string=DAYS) as answer:
        assert 3 * copying.ROWS_AT_ONCE == len(rows_of(answer))


CALLS = 60_000
END_EXPORTS = (
    "select pg_terminate_backend(pid) as ended from pg_stat_activity where application_name = 'llm-gateway-export'"
)
MANY_CALLS = f"""
    with made as (
        insert into usage_event (workspace_id, occurred_at, event_id, key_id, model_id, alias, deployment_id, provider,
            upstream_model, state, outcome, http_status, streamed, attempts, usage_source, billable)
        select %s, now() - n * interval '1 second', gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'm',
            gen_random_uuid(), 'p', 'u', 'settled', 'done', 200, false, 1, 'reported', true
        from generate_series(1, {CALLS}) n returning workspace_id, occurred_at, event_id
    ) insert into charge (workspace_id, occurred_at, event_id, price_ids) select *, '{{}}' from made"""


def test_a_file_that_is_cut_short_shows_as_a_broken_answer(gateway):
    with gateway.services():
        acme = workspaces.create(unique("acme"))
        payer = people.member(acme, "billing")
    gateway.sql(f"{MANY_CALLS} returning 1 as one", acme)
    query = {"from": str(TODAY - timedelta(days=2)), "to": str(TODAY), "for": "machine"}
    cookie = {"Cookie": f"{guard.SESSION_COOKIE}={payer.cookie}"}
    address = f"{gateway.url}{root(acme)}/calls.csv"

    with httpx.Client(trust_env=False, timeout=30, headers=cookie) as client:
        whole = client.get(address, params=query).content
        with client.stream("GET", address, params=query) as answer:
            arriving = answer.iter_raw()
            assert next(arriving)
            gateway.sql(END_EXPORTS)
            with pytest.raises(httpx.RemoteProtocolError):
                list(arriving)

    assert CALLS + 1 == whole.count(b"\r\n")
