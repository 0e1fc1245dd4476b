"""The audit page: everything that was done and refused, what still waits for its number included."""

from datetime import datetime, timedelta

import psycopg
import pytest
from sqlalchemy import event

from app.application import applications, keys
from app.console.wording import NOTHING
from app.extensions import db
from app.logging import audit, trail
from app.units import PLATFORM_ID, new_id, utc_now, zone
from app.workspace import pages, workspaces
from tests import people
from tests.console import reading
from tests.factories import unique
from tests.logging.trail_books import note

HTMX = {"HX-Request": "true"}


@pytest.fixture
def acme(app):
    assert app.testing
    return workspaces.create(unique("acme"), timezone="Asia/Kathmandu")


@pytest.fixture
def admin(app, acme):
    return people.member(acme, "admin", name="Ada").client(app)


@pytest.fixture
def worker(fresh_database):
    """Number what waits, as the worker's job does."""

    def run():
        with psycopg.connect(fresh_database.ingest_url, autocommit=True) as database:
            trail.take_all(database)

    return run


def root(workspace_id):
    return f"/w/{workspace_id}/audit"


def rows(answer):
    """What each row of the list is about, from the top."""
    page = answer.get_data(as_text=True)
    return [word for word in reading.text(page).split() if word.startswith("thing-")]


def things(workspace_id, *numbers, **fields):
    note(workspace_id, *(f"thing-{number}" for number in numbers), **fields)


def test_what_waits_is_pending_and_has_its_number_when_the_worker_was_there(acme, admin, worker):
    worker()
    things(acme, 1)

    before = reading.text(admin.get(root(acme)))
    worker()
    after = reading.text(admin.get(root(acme)))

    assert f" done {NOTHING} pending" in before
    assert "pending" not in after
    assert f" done {NOTHING} 3" in after


def test_the_newest_is_first_whichever_half_it_is_in(acme, admin, worker):
    things(acme, 1, 2)
    worker()
    things(acme, 3, 4)

    assert ["thing-4", "thing-3", "thing-2", "thing-1"] == rows(admin.get(root(acme)))


def test_a_change_on_a_page_says_who_from_where_and_under_which_number(acme, admin):
    form = {"name": "chatbot", "new_id": new_id()}

    made = admin.post(f"/w/{acme}/applications", form, headers={"User-Agent": "Browser/7"})

    (entry,) = [one for one in reading.links(admin.get(f"{root(acme)}?action=application.create")) if "/audit/" in one][
        :1
    ]
    text = reading.text(admin.get(entry))
    assert made.headers["X-Request-Id"] in text
    assert admin.person.email in text
    assert "127.0.0.1" in text
    assert "Browser/7" in text
    assert "admin" in text


def test_a_change_is_shown_before_and_after_side_by_side(acme, admin):
    application_id = applications.create(acme, "chatbot", cost_centre="old")
    applications.edit(acme, application_id, name="chatbot", cost_centre="new <b>", tags={"team": "blue"})
    address = next(one for one in reading.links(admin.get(f"{root(acme)}?action=update")) if "/audit/" in one)

    page = admin.get(address)
    piece = admin.get(address, headers=HTMX)

    assert reading.is_whole_page(page)
    assert not reading.is_whole_page(piece)
    for answer in (page, piece):
        assert "Field Before After" in reading.text(answer)
        assert "cost_centre old new <b>" in reading.text(answer)
        assert f"tags.team {NOTHING} blue" in reading.text(answer)
        assert "new <b>" not in answer.get_data(as_text=True)


def test_a_row_opens_in_place_and_without_javascript_by_its_address(acme, admin):
    things(acme, 1, after={"a": 1})

    opened = [
        given
        for tag, given in reading.attributes(admin.get(f"{root(acme)}?name=thing"))
        if tag == "details" and "/audit/" in given.get("hx-get", "")
    ]

    assert "toggle once" == opened[0]["hx-trigger"]
    assert opened[0]["hx-get"] in reading.links(admin.get(root(acme)))
    assert 200 == admin.get(opened[0]["hx-get"]).status_code


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("actor=JANE", ["thing-2"]),
        ("actor=u-7", ["thing-2"]),
        ("action=key.upd", ["thing-1", "thing-4", "thing-3", "thing-2"]),
        ("action=revoke", []),
        ("kind=key", ["thing-1", "thing-4", "thing-3", "thing-2"]),
        ("kind=model", []),
        ("name=THING-3", ["thing-3"]),
        ("name=%25", []),
        ("name=_hing", []),
        ("name=%00thing-3", ["thing-3"]),
        ("outcome=refused", ["thing-4"]),
        ("outcome=done&name=thing-4", []),
        ("outcome=nonsense", []),
        ("actor=%27%3B--", []),
    ],
)
def test_the_filter_leaves_what_was_asked_for_on_both_halves(acme, admin, worker, query, expected):
    with audit.acting(audit.Actor(kind="person", id="u-7", name="jane@example.test")):
        things(acme, 2)
    things(acme, 3)
    things(acme, 4, outcome="refused")
    worker()
    things(acme, 1)

    assert expected == rows(admin.get(f"{root(acme)}?{query}"))


def test_from_and_to_are_days_of_the_workspaces_zone(acme, admin):
    here = zone("Asia/Kathmandu")
    today = utc_now().astimezone(here).date()
    things(acme, 1)

    def on(first, last):
        return rows(admin.get(f"{root(acme)}?from={first}&to={last}"))

    assert ["thing-1"] == on(today, today)
    assert ["thing-1"] == on(today - timedelta(days=1), "")
    assert [] == on(today + timedelta(days=1), "")
    assert [] == on("", today - timedelta(days=1))


def test_a_day_begins_at_midnight_there_and_not_in_utc(acme, admin, fresh_database):
    with psycopg.connect(fresh_database.owner_url, autocommit=True) as owner:
        for number, minute in ((1, "18:14"), (2, "18:15")):
            things(acme, number)
            owner.execute(
                "update audit_outbox set occurred_at = %s where object_name = %s",
                [datetime.fromisoformat(f"2026-05-01T{minute}+00:00"), f"thing-{number}"],
            )

    assert ["thing-1"] == rows(admin.get(f"{root(acme)}?from=2026-05-01&to=2026-05-01"))
    assert ["thing-2"] == rows(admin.get(f"{root(acme)}?from=2026-05-02&to=2026-05-02"))


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "0001-01-01", "9999-12-31", "2026-05-01T10:00"])
def test_a_day_that_is_none_is_a_problem_of_its_field(acme, admin, day):
    answer = admin.get(f"{root(acme)}?from={day}")

    assert 422 == answer.status_code
    assert any("field-from-problem" in given.get("id", "") for _, given in reading.attributes(answer))


def test_bc_110_pages_hold_every_entry_once_while_the_worker_moves_them(acme, admin, worker, monkeypatch):
    monkeypatch.setattr(pages, "SIZE", 3)
    worker()
    things(acme, *range(10))
    address, found = root(acme) + "?name=thing", []
    while address:
        answer = admin.get(address)
        found += rows(answer)
        worker()
        things(acme, f"later-{len(found)}")
        address = next((one for one in reading.links(answer) if "after=" in one), None)

    assert [f"thing-{number}" for number in reversed(range(10))] == found
    assert "name=thing" in next(one for one in reading.links(admin.get(root(acme) + "?name=thing")) if "after=" in one)


@pytest.mark.parametrize("after", ["nonsense", "", "00000000-0000-0000-0000-000000000000", "f" * 32, "%00"])
def test_a_place_that_is_none_shows_a_list_all_the_same(acme, admin, after):
    things(acme, 1)

    assert 200 == admin.get(f"{root(acme)}?after={after}").status_code


@pytest.mark.parametrize(
    "audit_id",
    [
        "01a2110f-ecbe-75cd-ae23-1410bcda722a",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "00000000-0000-0000-0000-000000000000",
    ],
)
def test_an_entry_that_is_not_there_is_404(acme, admin, audit_id):
    assert 404 == admin.get(f"{root(acme)}/{audit_id}").status_code


@pytest.mark.parametrize(
    ("role", "status"), [("owner", 200), ("admin", 200), ("developer", 403), ("billing", 403), ("viewer", 403)]
)
def test_bc_095_the_trail_is_for_those_who_run_the_workspace(app, acme, role, status):
    things(acme, 1)
    browser = people.member(acme, role).client(app)

    answer = browser.get(root(acme))

    assert status == answer.status_code
    assert (status == 200) == ("thing-1" in reading.text(answer))


def test_bc_099_another_workspaces_trail_and_entries_are_not_there(app, acme, admin, worker):
    beta = workspaces.create(unique("beta"))
    stranger = people.member(beta, "owner").client(app)
    things(acme, 1, after={"a": 1})
    entry = next(one for one in reading.links(admin.get(f"{root(acme)}?name=thing-1")) if "/audit/" in one)
    own_place = entry.replace(str(acme), str(beta))

    for _ in range(2):
        assert [404] * 3 == [stranger.get(path).status_code for path in (root(acme), entry, own_place)]
        assert "thing-1" not in reading.text(stranger.get(root(beta)))
        worker()


def test_the_platforms_trail_is_for_its_admin_and_its_auditor(app, acme, admin):
    things(PLATFORM_ID, 1)
    things(acme, 2)

    for role in ("admin", "auditor"):
        browser = people.person(platform_role=role).client(app)
        assert ["thing-1"] == rows(browser.get(root(PLATFORM_ID)))
        assert root(PLATFORM_ID) in reading.links(browser.get("/workspaces"))
        assert "thing-2" in reading.text(browser.get(root(acme)))
    assert 404 == admin.get(root(PLATFORM_ID)).status_code
    assert root(PLATFORM_ID) not in reading.links(admin.get("/workspaces"))


def test_bc_104_names_in_the_trail_are_text(acme, admin):
    nasty = ["');alert(1)//", '"><img src=x onerror=alert(1)>', "{{7*7}}", "<script>1</script>", "a" * 200, "\u202eabc"]
    with audit.acting(audit.Actor(kind="person", name=nasty[1], user_agent=nasty[3])):
        note(acme, *nasty, before={nasty[1]: nasty[3]}, after={nasty[1]: nasty})

    page = admin.get(root(acme))
    entries = [admin.get(one) for one in reading.links(page) if "/audit/" in one]

    assert len(nasty) <= len(entries)
    for answer in (page, *entries):
        text = answer.get_data(as_text=True)
        assert "<img src=x" not in text
        assert "<script>1" not in text
        assert not any(name.startswith("on") for _, given in reading.attributes(text) for name in given)


def test_bc_137_a_made_rotated_and_revoked_key_and_a_denied_try_are_all_there(app, acme, admin):
    application_id = applications.create(acme, "chatbot")
    key = keys.create(acme, application_id, "ci", models=["*"])
    page = f"/w/{acme}/keys/{key.key_id}"
    admin.post(f"{page}/rotate", {"overlap": "24", "revision": keys.get(acme, key.key_id).revision})
    viewer = people.member(acme, "viewer")
    viewer.client(app).post(f"{page}/revoke")
    admin.post(f"{page}/revoke")

    text = reading.text(admin.get(f"{root(acme)}?kind=key"))

    order = ["key.revoke key ci", f"{viewer.email} viewer key.revoke key", "key.rotate key ci", "key.create key ci"]
    places = [text.find(words) for words in order]
    assert -1 not in places
    assert places == sorted(places)
    assert "refused" in text


def test_a_filter_answers_htmx_with_the_rows_alone_and_history_with_the_page(acme, admin):
    things(acme, 1)

    piece = admin.get(f"{root(acme)}?name=thing", headers=HTMX)
    back = admin.get(f"{root(acme)}?name=thing", headers=HTMX | {"HX-History-Restore-Request": "true"})

    assert not reading.is_whole_page(piece)
    assert ["thing-1"] == rows(piece)
    assert reading.is_whole_page(back)


def test_a_filter_that_leaves_nothing_says_so(acme, admin):
    assert "Nothing matches" in reading.text(admin.get(f"{root(acme)}?name=nothing-has-this"))


def test_the_page_costs_few_statements_however_much_there_is(acme, admin, worker):
    things(acme, *range(60))
    worker()
    things(acme, *range(60))
    seen = []
    listener = lambda *given: seen.append(given[2])  # noqa: E731

    event.listen(db.engine, "before_cursor_execute", listener)
    admin.get(root(acme))
    event.remove(db.engine, "before_cursor_execute", listener)

    assert 1 <= len(seen) <= 10
