"""The pages of prices: change and plan them, terms that only the platform sets, the unpriced queue, and why a call cost what it did."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from app.model import adjustments, models, price_book, price_changes
from app.model.price_book import Slot
from app.model.prices import CONTRACT, LIST, PROVIDER_COST
from app.units import PLATFORM_ID, utc_now
from app.workspace import workspaces
from tests import people
from tests.billing.books import NOON, call
from tests.console import reading
from tests.factories import make_model, make_provider, unique

HTMX = {"HX-Request": "true"}
USED = {"input": 1_000_000, "output": 1_000_000}


@pytest.fixture
def admin(app, acme):
    return people.member(acme, "admin").client(app)


@pytest.fixture
def platform_admin(app):
    return people.person(platform_role="admin").client(app)


@pytest.fixture
def model_id(acme):
    return make_model(acme, make_provider(acme, "http://127.0.0.1:1/v1"), "chat", price=None)


@pytest.fixture
def shared_id(app):
    assert app.testing
    provider_id = make_provider(PLATFORM_ID, "http://127.0.0.1:1/v1")
    return make_model(PLATFORM_ID, provider_id, unique("shared"), price={"input": Decimal(3), "output": Decimal(9)})


def root(workspace_id):
    return f"/w/{workspace_id}/prices"


def rows(workspace_id, model_id, kind=LIST):
    return {
        (row.slot.service_tier, row.slot.context_over, row.meter): row.unit_price
        for row in price_changes.history(workspace_id, model_id, [kind])
        if row.counts_at(utc_now())
    }


def in_zone(instant):
    return f"{instant:%Y-%m-%dT%H:%M}"


def test_prices_are_set_kept_and_ended_by_meter(acme, admin, model_id):
    address = f"{root(acme)}/{model_id}"

    for typed in ({"input": "0.15", "output": "0.6", "request": "0.001"}, {"output": "none", "cache_read": "0"}):
        form = reading.form(admin.get(address), address)
        admin.post(address, form.values(**typed))

    tier = ("standard", 0)
    expected = {(*tier, "input"): "0.15", (*tier, "request"): "0.001", (*tier, "cache_read"): "0"}
    assert {key: Decimal(price) for key, price in expected.items()} == rows(acme, model_id)
    assert "$0.60" in reading.text(admin.get(address))


def test_a_tier_is_a_row_of_its_own(acme, admin, model_id):
    address = f"{root(acme)}/{model_id}"

    admin.post(address, {"input": "1", "service_tier": "batch"})
    admin.post(address, {"input": "4", "context_over": "200000"})

    assert {("batch", 0, "input"): 1, ("standard", 200_000, "input"): 4} == rows(acme, model_id)
    page = reading.text(admin.get(address))
    assert "list, batch" in page
    assert "over 200,000 tokens" in page


def test_a_planned_price_is_shown_and_does_not_count_yet(acme, admin, model_id):
    address = f"{root(acme)}/{model_id}"
    admin.post(address, {"input": "1"})

    answer = admin.post(address, {"input": "2", "since": in_zone(utc_now() + timedelta(days=30))})

    assert 303 == answer.status_code
    assert {("standard", 0, "input"): 1} == rows(acme, model_id)
    assert {model_id: {"input": 1}} == price_book.current(acme)
    assert "planned" in reading.text(admin.get(address))


def test_a_back_dated_price_says_that_calls_need_a_recompute(acme, admin, model_id):
    address = f"{root(acme)}/{model_id}"
    admin.post(address, {"input": "1"})

    answer = admin.post(address, {"input": "2", "since": "2026-11-03T00:00"})

    page = admin.get(answer.headers["Location"])
    assert "Calls since then keep their cost until it is recomputed." in reading.text(page)
    (offer,) = [link for link in reading.links(page) if "/recompute/new" in link]
    assert "from=2026-11-03" in offer
    assert str(model_id) in offer


def test_no_price_reaches_into_a_closed_month(acme, admin, model_id, books):
    books.owner.execute(
        "insert into billing_period (workspace_id, month, state, timezone, starts_at, ends_at, closed_at)"
        " values (%s, '2026-10-01', 'closed', 'UTC', '2026-10-01Z', '2026-11-01Z', now())",
        [acme],
    )
    address = f"{root(acme)}/{model_id}"
    admin.post(address, {"input": "1"})

    refused = admin.post(address, {"input": "2", "since": "2026-10-31T23:59"}, headers=HTMX)
    taken = admin.post(address, {"input": "2", "since": "2026-11-01T00:00"}, headers=HTMX)

    assert [422, 204] == [refused.status_code, taken.status_code]
    assert "lies in a month that is closed" in reading.text(refused)


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({}, "type a price for at least one meter"),
        ({"input": "cheap"}, "must be dollars such as 0.25"),
        ({"input": "1", "service_tier": "slow"}, "choose one from the list"),
        ({"input": "1", "context_over": "many"}, "must be a whole number"),
        ({"input": "1", "since": "tomorrow"}, "is no date and time"),
    ],
)
def test_what_cannot_be_is_said_beside_its_field_and_changes_nothing(acme, admin, model_id, form, problem):
    answer = admin.post(f"{root(acme)}/{model_id}", form, headers=HTMX)

    assert 422 == answer.status_code
    assert not reading.is_whole_page(answer)
    assert problem in reading.text(answer)
    assert {} == rows(acme, model_id)


def test_prices_of_a_files_model_and_of_the_platforms_are_only_read(acme, admin, shared_id):
    provider_id = make_provider(acme, "http://127.0.0.1:1/v1")
    deployment = models.Deployment(provider_id=provider_id, upstream_model="up")
    by_file = models.save(acme, "filed", [deployment], managed_by="file")

    answers = [admin.post(f"{root(acme)}/{one}", {"input": "0"}) for one in (by_file, shared_id)]

    assert [409, 404] == [answer.status_code for answer in answers]
    page = admin.get(f"{root(acme)}/{shared_id}")
    assert "$3.00" in reading.text(page)
    assert not [given for tag, given in reading.attributes(page) if given.get("name") == "input"]


def test_a_contract_is_set_by_the_platforms_admin_and_seen_by_the_workspace(acme, admin, platform_admin, shared_id):
    address = f"{root(acme)}/{shared_id}"

    refused = admin.post(f"{address}/terms", {"kind": "contract", "input": "0"})
    platform_admin.post(f"{address}/terms", {"kind": "contract", "input": "2.5", "note": "2027 deal"})

    assert 403 == refused.status_code
    assert {("standard", 0, "input"): Decimal("2.5")} == rows(acme, shared_id, CONTRACT)
    assert "2027 deal" in reading.text(admin.get(address))
    assert "$2.50" in reading.text(admin.get(root(acme), query_string={"of": "platform"}))


def test_what_a_provider_takes_is_never_shown_to_a_workspace(acme, admin, platform_admin, model_id, shared_id):
    platform_admin.post(f"{root(acme)}/{model_id}/terms", {"kind": "provider_cost", "input": "0.77"})
    platform_admin.post(f"{root(PLATFORM_ID)}/{shared_id}/terms", {"kind": "provider_cost", "input": "0.77"})
    elsewhere = platform_admin.post(f"{root(acme)}/{shared_id}/terms", {"kind": "provider_cost", "input": "1"})

    pages = [(acme, model_id), (acme, shared_id)]
    assert all("0.77" not in admin.get(f"{root(place)}/{one}").get_data(as_text=True) for place, one in pages)
    assert "$0.77" in reading.text(platform_admin.get(f"{root(acme)}/{model_id}"))
    assert {("standard", 0, "input"): Decimal("0.77")} == rows(PLATFORM_ID, shared_id, PROVIDER_COST)
    assert 422 == elsewhere.status_code


def test_an_adjustment_is_the_platforms_and_said_on_the_pages_of_prices(acme, admin, platform_admin, model_id):
    address = f"{root(acme)}/adjustments"

    refused = admin.post(address, {"factor": "0"})
    platform_admin.post(address, {"factor": "0.9", "note": "yearly"})
    wrong = platform_admin.post(address, {"factor": "half"}, headers=HTMX)

    assert [403, 422] == [refused.status_code, wrong.status_code]
    assert [Decimal("0.9")] == [row.factor for row in adjustments.history(acme)]
    assert "yearly" in reading.text(admin.get(address))
    assert "List prices are billed \u00d7 0.9 in this workspace." in reading.text(admin.get(f"{root(acme)}/{model_id}"))


def test_unpriced_calls_wait_in_a_queue_that_names_what_is_missing(acme, admin, model_id, books):
    price_book.set_prices(acme, model_id, {"input": Decimal(1)}, now=NOON)
    books.put(*(call(acme, model_id=model_id, meters=USED) for _ in range(3)))
    books.take()

    before = reading.text(admin.get(f"{root(acme)}/unpriced"))
    price_book.set_prices(acme, model_id, {"input": Decimal(1), "output": Decimal(1)}, now=NOON)
    after = reading.text(admin.get(f"{root(acme)}/unpriced"))

    assert "chat" in before
    assert "3 output" in before, before
    assert "priced since" in after


def test_without_unpriced_calls_the_queue_says_so(acme, admin):
    assert "Every call has a cost" in reading.text(admin.get(f"{root(acme)}/unpriced"))


def test_why_a_call_costs_what_it_does_is_told_line_by_line(acme, admin, platform_admin, shared_id, books):
    platform_admin.post(f"{root(acme)}/adjustments", {"factor": "0.5", "since": "2026-11-01T00:00"})
    platform_admin.post(f"{root(acme)}/{shared_id}/terms", {"kind": "contract", "output": "8"})
    platform_admin.post(
        f"{root(PLATFORM_ID)}/{shared_id}/terms", {"kind": "provider_cost", "input": "1", "output": "1.11"}
    )
    event = call(acme, model_id=shared_id, meters=USED | {"reasoning": 1_000_000}, service_tier="batch")
    books.put(event)
    books.take()

    told = reading.text(admin.get(f"{root(acme)}/why", query_string={"request": event.event_id}))

    assert "By list $21.00" in told
    assert "Adjustment \u00d7 0.5" in told
    assert "Billed $17.50" in told
    assert "reasoning at the price of output" in told
    assert "Service tier batch" in told
    assert "do not add up" not in told
    assert "Provider cost" not in told
    (row,) = books.rows()
    assert (Decimal(21), Decimal("17.5")) == (row["list_cost"], row["billed_cost"])
    shown = platform_admin.get(f"{root(acme)}/why", query_string={"request": event.event_id})
    assert "Provider cost $3.22" in reading.text(shown)


def test_a_charge_is_told_by_the_rows_that_made_it_also_when_they_are_replaced(acme, admin, model_id, books):
    price_book.set_prices(acme, model_id, {"input": Decimal(1), "output": Decimal(2)}, now=NOON)
    event = call(acme, model_id=model_id, meters=USED)
    books.put(event)
    books.take()

    admin.post(f"{root(acme)}/{model_id}", {"input": "100", "since": in_zone(NOON - timedelta(hours=1))})

    told = reading.text(admin.get(f"{root(acme)}/why", query_string={"request": event.event_id}))
    assert "Billed $3.00" in told
    assert "do not add up" not in told


def test_an_unpriced_call_is_told_what_is_missing_and_a_strangers_is_not_there(acme, admin, books):
    other = workspaces.create(unique("other"))
    unpriced, strangers = call(acme, meters=USED), call(other, meters=USED)
    free = call(acme, meters={}, billable=False, billable_reason="no content was delivered")
    books.put(unpriced, strangers, free)
    books.take()

    told = [
        reading.text(admin.get(f"{root(acme)}/why", query_string={"request": one}))
        for one in (unpriced.event_id, free.event_id, strangers.event_id, "42")
    ]

    assert "there is no price for input, output" in told[0]
    assert "It costs nothing: no content was delivered." in told[1]
    assert all("There is no such call in this workspace." in text for text in told[2:])


def test_the_bundled_list_is_previewed_and_only_what_is_chosen_is_taken(acme, admin):
    provider_id = make_provider(acme, "http://127.0.0.1:1/v1")
    names = ("gpt-4o-mini", "gpt-4o")
    ids = [make_model(acme, provider_id, name, upstream_model=name, price=None) for name in names]
    price_book.set_prices(acme, ids[0], {"input": Decimal(99)}, now=datetime(2026, 1, 1, tzinfo=UTC))
    address = f"{root(acme)}/import"

    page = admin.get(address)
    marks = [given["value"] for _, given in reading.attributes(page) if given.get("name") == "chosen"]
    answer = admin.post(address, {"chosen": marks[1]})

    assert 303 == answer.status_code
    assert "$99.00" in reading.text(page)
    assert 2 == len(marks)
    current = price_book.current(acme)
    assert {Decimal("0.15"), Decimal("0.6")} <= set(current[ids[0]].values())
    assert ids[1] not in current


def test_a_preview_that_is_no_longer_true_takes_nothing(acme, admin, model_id):
    answers = [admin.post(f"{root(acme)}/import", form, headers=HTMX) for form in ({}, {"chosen": "0123456789abcdef"})]

    assert [422, 422] == [answer.status_code for answer in answers]
    assert {} == price_book.current_tiers(acme)
    assert Slot() not in price_book.current_tiers(acme).get(model_id, {})


def test_a_viewer_reads_prices_and_changes_none(app, acme, model_id):
    viewer = people.member(acme, "viewer").client(app)

    assert 200 == viewer.get(f"{root(acme)}/{model_id}").status_code
    assert 403 == viewer.post(f"{root(acme)}/{model_id}", {"input": "0"}).status_code
    assert 404 == viewer.get(f"{root(workspaces.create(unique('other')))}/{model_id}").status_code
