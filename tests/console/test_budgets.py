"""The pages of budgets."""

from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from app.application import applications
from app.billing import budget_watch
from app.billing.budget_watch import Watch
from app.units import new_id, utc_now
from app.workspace import budgets, courier, workspaces
from app.workspace.budget_rules import Rule
from tests import people
from tests.billing.books import call, recent
from tests.console import reading
from tests.factories import unique


@pytest.fixture
def admin(app, acme):
    return people.member(acme, "admin").client(app)


def made(acme: UUID, limit: str = "10", **rule) -> UUID:
    wanted = Rule(**{"name": unique("budget"), "limit_usd": Decimal(limit)} | rule)
    return budgets.create(acme, wanted, scope="workspace", scope_id=None, period="month", budget_id=new_id(), by=None)


def fill(browser, acme, **typed):
    """Fill the form in as a person does."""
    form = reading.form(browser.get(f"/w/{acme}/budgets/new"), f"/w/{acme}/budgets")
    return browser.post(f"/w/{acme}/budgets", form.values(**{"name": "Team", "limit": "10"} | typed))


def spend(books, acme: UUID, dollars: int) -> None:
    model_id = new_id()
    books.price(model_id, input="1")
    meters = {"input": 1_000_000}
    books.put(*(call(acme, at=recent(), model_id=model_id, meters=meters) for _ in range(dollars)))
    books.take()


def test_a_budget_is_made(acme, admin):
    answer = fill(admin, acme, limit="12.5", thresholds="100, 50 %", action="block", period="week")

    (found,) = budgets.all_of(acme)
    assert (303, f"/w/{acme}/budgets/{found.budget_id}") == (answer.status_code, answer.headers["Location"])
    rule = Rule(name="Team", limit_usd=Decimal("12.5"), thresholds=(50, 100), action="block")
    assert (rule, "workspace", "week") == (found.rule, found.scope, found.period)


def test_it_can_be_about_an_application(acme, admin):
    application_id = applications.create(acme, "chatbot")

    fill(admin, acme, about=f"application:{application_id}")

    (found,) = budgets.all_of(acme)
    assert ("application", application_id) == (found.scope, found.scope_id)
    assert "Application chatbot" in reading.text(admin.get(f"/w/{acme}/budgets"))


def test_it_cannot_be_about_what_another_workspace_has(acme, admin):
    foreign = applications.create(workspaces.create(unique("theirs")), "chatbot")

    answer = fill(admin, acme, about=f"application:{foreign}")

    assert 422 == answer.status_code
    assert "is nothing that this workspace has" in reading.text(answer)
    assert [] == budgets.all_of(acme)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"limit": "much"}, "must be dollars such as 0.25"),
        ({"limit": ""}, "0 is used up by the first call"),
        ({"limit": "9007200"}, "must be 0 to 9,007,199 dollars"),
        ({"thresholds": "half"}, "must be percentages such as 50, 80, 100"),
        ({"thresholds": "0"}, "must be percentages from 1 to 1000"),
        ({"action": "downgrade"}, "must be the model that calls go to instead"),
        ({"action": "downgrade", "downgrade_to": "nothing"}, "is no model of this workspace"),
        ({"name": "=1"}, "must not begin with"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(acme, admin, typed, said):
    answer = fill(admin, acme, **typed)

    assert 422 == answer.status_code
    assert said in reading.text(answer)
    assert [] == budgets.all_of(acme)


def test_bc_039_a_limit_of_0_stays_0(acme, admin):
    fill(admin, acme, limit="0")
    (found,) = budgets.all_of(acme)
    address = f"/w/{acme}/budgets/{found.budget_id}"

    form = reading.form(admin.get(address), address)
    assert "0" == form.values()["limit"]
    assert 303 == admin.post(address, form.values()).status_code
    assert Decimal(0) == budgets.get(acme, found.budget_id).rule.limit_usd
    assert 422 == admin.post(address, form.values(limit="")).status_code


def test_bc_106_renaming_keeps_everything_else(acme, admin):
    budget_id = made(acme, "12.5", name="before", thresholds=(10, 90), action="block")
    address = f"/w/{acme}/budgets/{budget_id}"

    admin.post(address, reading.form(admin.get(address), address).values(name="after"))

    rule = Rule(name="after", limit_usd=Decimal("12.5"), thresholds=(10, 90), action="block")
    assert rule == budgets.get(acme, budget_id).rule


def test_the_page_shows_what_the_ledger_says_and_what_was_told(acme, admin, books, fresh_database):
    budget_id = made(acme, "10", action="block")
    spend(books, acme, 10)
    engine = courier.engine(fresh_database.ingest_url)
    with Session(engine) as session:
        budget_watch.turn(session, Watch(), utc_now())
    engine.dispose()

    text = reading.text(admin.get(f"/w/{acme}/budgets/{budget_id}"))
    listed = reading.text(admin.get(f"/w/{acme}/budgets"))

    assert "Calls are refused until" in text
    assert "$10.00" in text
    assert all(f"{percent}%" in text for percent in (50, 80, 100))
    assert "refuses calls" in listed
    assert "100%" in listed


def test_calls_without_a_price_are_told_of(acme, admin, books):
    budget_id = made(acme)
    books.put(call(acme, at=recent()))
    books.take()

    page = admin.get(f"/w/{acme}/budgets/{budget_id}")

    assert "1 call of this period has no price and is not counted." in reading.text(page)
    assert f'href="/w/{acme}/prices/unpriced"' in page.text
    assert "$0.00" in reading.text(page)


@pytest.mark.parametrize(
    ("spent", "said"),
    [
        ((0, "10"), ("0%", "within limit")),
        ((1, "200"), ("under 1%", "within limit")),
        ((5, "10"), ("50%", "alerted")),
        ((1, "1"), ("100%", "used up")),
        ((3, "2"), ("150%", "over limit")),
        ((0, "0"), ("within limit",)),
        ((1, "0"), ("over limit",)),
    ],
)
def test_the_list_says_how_budgets_stand(acme, admin, books, spent, said):
    dollars, limit = spent
    made(acme, limit)
    if dollars:
        spend(books, acme, dollars)

    listed = reading.text(admin.get(f"/w/{acme}/budgets"))

    assert all(one in listed for one in said)


def test_a_viewer_reads_and_changes_nothing(app, acme):
    budget_id = made(acme)
    viewer = people.member(acme, "viewer").client(app)

    page = viewer.get(f"/w/{acme}/budgets/{budget_id}")

    assert 200 == page.status_code
    assert "Save" not in reading.text(page)
    assert 403 == viewer.get(f"/w/{acme}/budgets/new").status_code
    assert 403 == viewer.post(f"/w/{acme}/budgets/{budget_id}/archive").status_code
    assert 1 == len(budgets.all_of(acme))


def test_an_archived_budget_is_gone(acme, admin):
    budget_id = made(acme)

    assert 303 == admin.post(f"/w/{acme}/budgets/{budget_id}/archive").status_code

    assert 404 == admin.get(f"/w/{acme}/budgets/{budget_id}").status_code
    assert "No budgets yet" in reading.text(admin.get(f"/w/{acme}/budgets"))
