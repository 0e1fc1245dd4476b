"""Prices of deployments, and what the pages of prices offer after a change that calls need a recompute for."""

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from app.billing import open_months
from app.extensions import transaction
from app.model import models, price_book, price_changes, price_subjects
from app.model.prices import LIST
from app.units import PLATFORM_ID, utc_now
from app.workspace import workspaces
from app.workspace.names import NotFound
from tests import people
from tests.billing.books import NOON, call
from tests.console import reading
from tests.factories import make_model, make_provider, unique


@pytest.fixture
def admin(app, acme):
    return people.member(acme, "admin").client(app)


@pytest.fixture
def platform_admin(app):
    return people.person(platform_role="admin").client(app)


@pytest.fixture
def model_id(acme):
    return make_model(acme, make_provider(acme, "http://127.0.0.1:1/v1"), "chat", price=None)


def root(workspace_id):
    return f"/w/{workspace_id}/prices"


def served_by(workspace_id, model_id):
    return price_subjects.serving(workspace_id, price_subjects.find(workspace_id, model_id, shared=True))


def close_october(books, workspace_id):
    books.owner.execute(
        "insert into billing_period (workspace_id, month, state, timezone, starts_at, ends_at, closed_at)"
        " values (%s, '2026-10-01', 'closed', 'UTC', '2026-10-01Z', '2026-11-01Z', now())",
        [workspace_id],
    )


def test_a_deployments_own_price_is_set_on_its_page_and_bills_its_calls(acme, admin, model_id, books):
    price_book.set_prices(acme, model_id, {"input": Decimal(1)}, now=NOON)
    (link,) = [one for one in reading.links(admin.get(f"{root(acme)}/{model_id}")) if one.startswith(f"{root(acme)}/")]
    (deployment,) = served_by(acme, model_id)

    admin.post(link, reading.form(admin.get(link), link).values(input="5"))
    books.put(call(acme, model_id=model_id, deployment_id=deployment.subject_id, meters={"input": 1_000_000}))
    books.take()

    assert link.endswith(str(deployment.subject_id))
    assert [Decimal(5)] == [row.unit_price for row in price_changes.history(acme, deployment.subject_id, [LIST])]
    assert [Decimal(5)] == [row["billed_cost"] for row in books.rows()]
    assert "its own" in reading.text(admin.get(f"{root(acme)}/{model_id}"))
    page = admin.get(link)
    assert deployment.name in reading.text(page)
    assert f"{root(acme)}/{model_id}" in reading.links(page)


def test_deployments_of_a_files_model_and_of_others_are_only_read(acme, admin):
    provider_id = make_provider(acme, "http://127.0.0.1:1/v1")
    by_file = models.save(
        acme, "filed", [models.Deployment(provider_id=provider_id, upstream_model="up")], managed_by="file"
    )
    shared = make_model(PLATFORM_ID, make_provider(PLATFORM_ID, "http://127.0.0.1:1/v1"), unique("shared"), price=None)
    other = workspaces.create(unique("other"))
    theirs = make_model(other, make_provider(other, "http://127.0.0.1:1/v1"), "chat", price=None)
    places = [
        served_by(owner, one)[0].subject_id for owner, one in ((acme, by_file), (PLATFORM_ID, shared), (other, theirs))
    ]

    answers = [admin.post(f"{root(acme)}/{place}", {"input": "0"}).status_code for place in places]
    shown = [admin.get(f"{root(acme)}/{place}").status_code for place in places]

    assert [409, 404, 404] == answers
    assert [200, 200, 404] == shown
    with pytest.raises(NotFound):
        price_subjects.find(acme, places[2], shared=True)


def test_a_recompute_after_a_deployments_change_is_of_its_model(acme, admin, model_id):
    (deployment,) = served_by(acme, model_id)
    address = f"{root(acme)}/{deployment.subject_id}"
    admin.post(address, {"input": "1"})

    page = admin.get(admin.post(address, {"input": "2", "since": "2026-11-03T00:00"}).headers["Location"])

    (offer,) = [link for link in reading.links(page) if "/recompute/new" in link]
    assert f"model={model_id}" in offer
    assert "from=2026-11-03" in offer


def test_after_a_platforms_back_dated_price_each_workspace_can_be_recomputed(acme, platform_admin):
    shared = make_model(PLATFORM_ID, make_provider(PLATFORM_ID, "http://127.0.0.1:1/v1"), unique("shared"))
    address = f"{root(PLATFORM_ID)}/{shared}"

    page = platform_admin.get(
        platform_admin.post(address, {"input": "9", "since": "2026-11-03T00:00"}).headers["Location"]
    )

    offers = [link for link in reading.links(page) if "/recompute/new" in link]
    assert f"/w/{acme}/recompute/new" in {offer.partition("?")[0] for offer in offers}
    assert f"/w/{PLATFORM_ID}/recompute/new" not in {offer.partition("?")[0] for offer in offers}
    assert all("from=2026-11-03" in offer and str(shared) in offer for offer in offers)


def test_a_back_dated_adjustment_offers_a_recompute_of_every_model(acme, platform_admin):
    address = f"{root(acme)}/adjustments"

    answer = platform_admin.post(address, {"factor": "10", "since": "2026-11-03T00:00"})
    page = platform_admin.get(answer.headers["Location"])

    (offer,) = [link for link in reading.links(page) if "/recompute/new" in link]
    assert offer.endswith("?from=2026-11-03")
    assert "1E" not in reading.text(page)
    assert not [link for link in reading.links(platform_admin.get(address)) if "/recompute/new" in link]


def test_the_unpriced_queue_offers_a_recompute_of_what_has_a_price_by_now(acme, admin, model_id, books):
    for day in (0, 2):
        books.put(call(acme, at=NOON + timedelta(days=day), model_id=model_id))
    books.put(call(acme, at=NOON))
    books.take()
    price_book.set_prices(acme, model_id, {"input": Decimal(1), "output": Decimal(1)}, now=utc_now())

    page = admin.get(f"{root(acme)}/unpriced")

    (offer,) = [link for link in reading.links(page) if "/recompute/new" in link]
    assert {"from=2026-11-10", "to=2026-11-12", f"model={model_id}"} == set(offer.partition("?")[2].split("&"))
    shown = reading.form(admin.get(offer), f"/w/{acme}/recompute").values()
    assert ("2026-11-10", "2026-11-12", str(model_id)) == (shown["from"], shown["to"], shown["model"])


def test_a_platforms_price_may_not_reach_into_a_month_that_any_workspace_has_closed(acme, books, platform_admin):
    shared = make_model(PLATFORM_ID, make_provider(PLATFORM_ID, "http://127.0.0.1:1/v1"), unique("shared"))
    address = f"{root(PLATFORM_ID)}/{shared}"
    close_october(books, acme)

    with transaction(PLATFORM_ID) as session:
        assert 0 == session.scalar(text("select count(*) from billing_period"))
    assert open_months.open_since(PLATFORM_ID) == open_months.open_since(acme)
    answers = [
        platform_admin.post(address, {"input": "9", "since": since}, headers={"HX-Request": "true"}).status_code
        for since in ("2026-10-31T23:59", "2026-11-01T00:00")
    ]

    assert [422, 204] == answers
    assert open_months.open_since(workspaces.create(unique("other"))) is None
