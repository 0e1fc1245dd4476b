"""The pages of months and of statements: what they show, who may do what, and what belongs to somebody else."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from app.application import applications
from app.billing import closing, credit_notes, periods, statements
from app.units import new_id
from app.workspace import workspaces
from tests import people
from tests.billing.books import call
from tests.console import reading
from tests.factories import unique

JANUARY = date(2026, 1, 1)
LATER = datetime(2026, 11, 1, tzinfo=UTC)
THEN = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
HTMX = {"HX-Request": "true"}


@pytest.fixture
def owner(app: Any, acme: UUID) -> Any:
    return people.member(acme, "owner").client(app)


@pytest.fixture
def platform(app: Any) -> Any:
    return people.person(platform_role="admin").client(app)


def root(workspace_id: UUID, path: str = "") -> str:
    return f"/w/{workspace_id}/periods{path}"


def used(books: Any, workspace_id: UUID, *, price: str | None = "1000", at: datetime = THEN) -> UUID:
    """Make a call of the application “chatbot” in January."""
    model_id, application_id = new_id(), applications.create(workspace_id, unique("chatbot"))
    if price:
        books.price(model_id, input=price, output=price)
    books.put(call(workspace_id, at=at, application_id=application_id, model_id=model_id, alias="m"))
    books.take()
    return application_id


def close(workspace_id: UUID) -> statements.Statement:
    closing.draft(workspace_id, JANUARY, now=LATER)
    return closing.close(workspace_id, JANUARY, now=LATER)


def test_a_month_is_drafted_looked_at_and_closed(books: Any, acme: UUID, owner: Any) -> None:
    used(books, acme)
    page = owner.get(root(acme, "/month?month=2026-01"))
    assert "The month is over and can be drafted." in reading.text(page)

    drafted = owner.post(root(acme, "/draft"), reading.form(page, root(acme, "/draft")).values())
    page = owner.get(drafted.headers["Location"])
    closed = owner.post(root(acme, "/close"), reading.form(page, root(acme, "/close")).values())

    statement = reading.text(owner.get(closed.headers["Location"]))
    assert (303, 303) == (drafted.status_code, closed.status_code)
    assert "chatbot" in statement
    assert "0.11 USD" in statement
    assert "closed" == periods.get(acme, JANUARY).state
    assert owner.person.user_id == periods.get(acme, JANUARY).closed_by


def test_the_list_leads_to_each_month_and_its_statement(books: Any, acme: UUID, owner: Any) -> None:
    used(books, acme)
    statement = close(acme)

    page = owner.get(root(acme))

    assert statement.number in reading.text(page)
    assert {root(acme, "/month?month=2026-01"), f"/w/{acme}/statements/{statement.statement_id}"} <= set(
        reading.links(page)
    )


def test_the_checklist_names_what_is_unpriced_and_the_close_asks_for_it(books: Any, acme: UUID, owner: Any) -> None:
    used(books, acme, price=None)
    closing.draft(acme, JANUARY, now=LATER)
    page = owner.get(root(acme, "/month?month=2026-01"))
    form = reading.form(page, root(acme, "/close"))
    assert "Unpriced calls 1 must be priced" in reading.text(page)

    refused = owner.post(root(acme, "/close"), form.values(), headers=HTMX)
    closed = owner.post(root(acme, "/close"), form.values(unpriced="yes"))

    assert (422, 303) == (refused.status_code, closed.status_code)
    assert not reading.is_whole_page(refused)
    assert "must be confirmed: 1 call has no price" in reading.text(refused)


def test_the_shares_of_provisional_and_estimated_calls_are_shown(books: Any, acme: UUID, owner: Any) -> None:
    events = [{"state": "provisional"}, {"usage_source": "estimated"}, {"usage_source": "estimated"}, {}]
    books.put(*(call(acme, at=THEN, **changes) for changes in events))
    books.take()

    page = reading.text(owner.get(root(acme, "/month?month=2026-01")))

    assert "Provisional calls 1 (25.00 %)" in page
    assert "Estimated calls 2 (50.00 %)" in page


def test_calls_that_wait_in_the_stream_are_on_the_checklist(books: Any, acme: UUID, owner: Any) -> None:
    before = reading.text(owner.get(root(acme, "/month?month=2026-01")))
    books.put(call(acme, at=THEN))

    after = reading.text(owner.get(root(acme, "/month?month=2026-01")))

    assert "Calls on their way none" in before
    assert "Calls on their way waiting since" in after


def test_the_running_month_is_shown_and_not_drafted(acme: UUID, owner: Any) -> None:
    page = owner.get(root(acme, "/month"))
    month = periods.name_of(periods.running(acme, datetime.now(UTC)))

    answer = owner.post(root(acme, "/draft"), {"month": month}, headers=HTMX)

    assert "The month runs until" in reading.text(page)
    assert 422 == answer.status_code
    assert "has not ended yet" in reading.text(answer)


@pytest.mark.parametrize("month", ["2099-01", "2026-13", "x", "2026-01-01"])
def test_a_month_that_is_none_is_not_there(acme: UUID, owner: Any, month: str) -> None:
    page, answer = owner.get(root(acme, f"/month?month={month}")), owner.post(root(acme, "/draft"), {"month": month})

    assert 404 == page.status_code
    assert answer.status_code in {400, 422}


def test_only_the_platform_reopens_a_month(acme: UUID, owner: Any, platform: Any) -> None:
    first = close(acme)
    sent = {"month": "2026-01", "reason": "the price was wrong"}

    refused, answer = owner.post(root(acme, "/reopen"), sent), platform.post(root(acme, "/reopen"), sent)

    assert (403, 303) == (refused.status_code, answer.status_code)
    assert "open" == periods.get(acme, JANUARY).state
    page = reading.text(owner.get(f"/w/{acme}/statements/{first.statement_id}"))
    assert "This statement is void since" in page
    assert first.number in reading.text(owner.get(root(acme, "/month?month=2026-01")))


def test_a_month_is_not_reopened_without_a_reason(acme: UUID, platform: Any) -> None:
    close(acme)

    answer = platform.post(root(acme, "/reopen"), {"month": "2026-01", "reason": ""}, headers=HTMX)

    assert 422 == answer.status_code
    assert "closed" == periods.get(acme, JANUARY).state


def test_only_the_platform_grants_credits_and_one_form_grants_once(acme: UUID, owner: Any, platform: Any) -> None:
    page = platform.get(root(acme, "/month?month=2026-01"))
    sent = reading.form(page, root(acme, "/credit")).values(amount="12.50", reason="an outage")

    refused = owner.post(root(acme, "/credit"), sent)
    answers = [platform.post(root(acme, "/credit"), sent) for _ in range(2)]

    assert 403 == refused.status_code
    assert [303, 303] == [answer.status_code for answer in answers]
    assert [Decimal("12.5")] == [one.amount for one in credit_notes.of_month(acme, JANUARY)]
    assert "Credit: an outage" in reading.text(owner.get(root(acme, "/month?month=2026-01")))


@pytest.mark.parametrize("amount", ["", "0", "-1", "1e3", "twelve", "1.0000001"])
def test_a_credit_of_no_amount_is_a_problem_of_its_field(acme: UUID, platform: Any, amount: str) -> None:
    sent = {"month": "2026-01", "amount": amount, "reason": "an outage", "new_id": new_id()}

    answer = platform.post(root(acme, "/credit"), sent, headers=HTMX)

    assert 422 == answer.status_code
    assert [] == credit_notes.of_month(acme, JANUARY)


def test_the_purchase_order_number_is_kept_and_printed(acme: UUID, owner: Any) -> None:
    form = reading.form(owner.get(root(acme)), root(acme, "/po-number"))

    answer = owner.post(root(acme, "/po-number"), form.values(po_number="PO 42"))

    statement = close(acme)
    printed = owner.get(f"/w/{acme}/statements/{statement.statement_id}/print")
    assert 303 == answer.status_code
    assert "Purchase order PO 42" in reading.text(printed)
    assert "PO 42" == reading.form(owner.get(root(acme)), root(acme, "/po-number")).values()["po_number"]


def test_the_print_view_is_the_statement_and_nothing_else(books: Any, acme: UUID, owner: Any) -> None:
    used(books, acme)
    statement = close(acme)

    printed = owner.get(f"/w/{acme}/statements/{statement.statement_id}/print")

    text = reading.text(printed)
    assert statement.number in text
    assert "0.11 USD" in text
    assert statement.totals_hash.hex() in text
    assert "Sign out" not in text
    assert [] == reading.links(printed)


@pytest.mark.parametrize("flavour", ["machine", "spreadsheet"])
def test_the_csv_is_the_statements_and_is_noted(books: Any, acme: UUID, owner: Any, flavour: str) -> None:
    used(books, acme)
    statement = close(acme)

    answer = owner.get(f"/w/{acme}/statements/{statement.statement_id}.csv?for={flavour}")

    (entry,) = books.sql("select * from audit_outbox where action = 'usage.export'")
    assert answer.get_data().startswith(b"\xef\xbb\xbf" if flavour == "spreadsheet" else b"statement,month,line")
    assert b",0.11,USD" in answer.get_data()
    assert f'attachment; filename="statement-{statement.number}.csv"' == answer.headers["Content-Disposition"]
    assert f"statement {statement.number}" == entry["object_name"]


def test_lines_that_were_changed_since_the_close_are_told(books: Any, acme: UUID, owner: Any) -> None:
    used(books, acme)
    statement = close(acme)
    address = f"/w/{acme}/statements/{statement.statement_id}"
    before = reading.text(owner.get(address))

    books.sql("update statement_line set amount = 0 returning 1")

    assert "not those that the month was closed with" not in before
    assert "not those that the month was closed with" in reading.text(owner.get(address))


@pytest.mark.parametrize(("role", "status"), [("billing", 200), ("developer", 403), ("viewer", 403)])
def test_who_pays_sees_the_bill_and_does_not_change_it(app: Any, acme: UUID, role: str, status: int) -> None:
    statement = close(acme)
    browser = people.member(acme, role).client(app)

    pages = [
        browser.get(path)
        for path in (root(acme), root(acme, "/month"), f"/w/{acme}/statements/{statement.statement_id}")
    ]
    changes = [browser.post(root(acme, path), {"month": "2026-02"}) for path in ("/draft", "/withdraw", "/close")]

    assert {status} == {page.status_code for page in pages}
    assert {403} == {change.status_code for change in changes}


def test_another_workspaces_statement_is_not_there(acme: UUID, owner: Any) -> None:
    other = workspaces.create(unique("other"))
    theirs = close(other).statement_id

    paths = [
        f"/w/{workspace}/statements/{theirs}{rest}" for workspace in (acme, other) for rest in ("", "/print", ".csv")
    ]

    assert {404} == {owner.get(path).status_code for path in [*paths, root(other), root(other, "/month")]}


def test_a_name_with_markup_is_only_a_name(books: Any, acme: UUID, owner: Any) -> None:
    application_id = used(books, acme)
    applications.edit(acme, application_id, name="<b>bold</b>", cost_centre=None, tags={})
    statement = close(acme)

    for path in ("", "/print"):
        page = owner.get(f"/w/{acme}/statements/{statement.statement_id}{path}").get_data(as_text=True)
        assert "&lt;b&gt;bold&lt;/b&gt;" in page
        assert "<b>bold" not in page
