"""The Exports page: order, watch, cancel, fetch, schedule; and who may."""

import dataclasses
import hashlib
from datetime import timedelta

import pytest
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from app.auth import deactivation
from app.billing import export_jobs, export_links, export_orders, export_schedules
from app.extensions import LONG_QUEUE, queue
from app.logging import entries
from app.units import new_id, utc_now
from app.workspace import members, workspaces
from tests import people
from tests.billing.books import NOON, call
from tests.console import reading
from tests.factories import unique

DAYS = {"from": str(NOON.date()), "to": str(NOON.date())}


@pytest.fixture
def payer(app, acme):
    return people.member(acme, "billing").client(app)


@pytest.fixture
def home(app, fresh_database, redis_url, monkeypatch, tmp_path):
    """Where the job writes is where the console reads."""
    monkeypatch.setenv("DATABASE_URL", fresh_database.app_url)
    monkeypatch.setenv("DATABASE_INGEST_URL", fresh_database.ingest_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("SECRET_KEY", "a-secret-for-tests-of-enough-length")
    monkeypatch.setenv("GATEWAY_HOME", str(tmp_path))
    app.extensions["settings"] = dataclasses.replace(app.extensions["settings"], home=tmp_path)
    return tmp_path


@pytest.fixture
def made(acme, books, payer, home):
    """An export with one row, ordered on the page and made."""
    assert home
    books.put(call(acme))
    books.take()
    export_id = order(acme, payer)
    export_jobs.run(str(export_id))
    return export_id


def root(workspace_id):
    return f"/w/{workspace_id}/exports"


def order(workspace_id, browser, **form):
    sent = {"kind": "calls", "format": "csv-machine", "new_id": new_id()} | DAYS | form
    answer = browser.post(root(workspace_id), sent)
    assert 303 == answer.status_code, reading.text(answer)
    return export_orders.page(workspace_id).items[0].export_id


def fetch(browser, path):
    """The status and the content of a file, read to its end."""
    with browser.get(path) as answer:
        return answer.status_code, answer.get_data()


def acts(workspace_id):
    found = entries.listed(workspace_id, entries.Wanted(kind="export"), after=None, limit=99)
    return [(one.action, one.actor_name) for one in found]


def test_an_export_is_ordered_made_and_fetched(acme, payer, made):
    page = payer.get(f"{root(acme)}/{made}")
    lead = payer.get(f"{root(acme)}/{made}/download")
    with payer.get(lead.headers["Location"]) as file:
        content = file.get_data()

    assert "Download" in reading.text(page)
    assert export_orders.get(acme, made).manifest["sha256"] in reading.text(page)
    assert (303, 200) == (lead.status_code, file.status_code)
    assert content.startswith(b"occurred_at_utc,")
    assert "attachment; filename=calls-2026-11-10-to-2026-11-10.csv" == file.headers["Content-Disposition"]
    assert "text/csv; charset=utf-8" == file.headers["Content-Type"]
    assert 1 == export_orders.get(acme, made).downloads
    assert [("export.download", payer.person.email), ("export.create", payer.person.email)] == acts(acme)


def test_the_same_form_twice_orders_one_file(acme, payer):
    form = {"new_id": new_id()}

    assert order(acme, payer, **form) == order(acme, payer, **form)
    assert 1 == len(export_orders.page(acme).items)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"from": "yesterday"}, "must be a day"),
        ({"to": "2026-11-09"}, "must not lie before the first day"),
        ({"kind": "secrets"}, "must be one of"),
        ({"kind": "focus", "format": "csv-spreadsheet"}, "read by programs"),
        ({"kind": "audit"}, "only owners and admins"),
        ({"every": "day", "name": "=1"}, "must not begin with"),
        ({"every": "year", "name": "a"}, "must be one of"),
    ],
)
def test_what_cannot_be_exported_is_said_beside_its_field(acme, payer, changed, problem):
    sent = {"kind": "calls", "format": "csv-machine", "new_id": new_id()} | DAYS | changed

    answer = payer.post(root(acme), sent)

    assert (422, True) == (answer.status_code, problem in reading.text(answer))
    assert [] == export_orders.page(acme).items


def test_a_running_export_shows_how_far_it_is_and_can_be_cancelled(acme, payer, books):
    export_id = order(acme, payer)
    books.owner.execute("update export_job set state = 'running', rows_total = 200, rows_done = 50")

    page = payer.get(f"{root(acme)}/{export_id}")
    listed = payer.get(root(acme))
    payer.post(f"{root(acme)}/{export_id}/cancel")

    assert "50 of 200 rows" in reading.text(page)
    assert ("progress", "25") in {(tag, given.get("value")) for tag, given in reading.attributes(page)}
    assert "25 %" in reading.text(listed)
    assert "cancelled" == export_orders.get(acme, export_id).state
    assert "hx-trigger" not in payer.get(f"{root(acme)}/{export_id}", headers={"HX-Request": "true"}).get_data(
        as_text=True
    )


def test_a_link_works_for_whoever_has_it_until_it_expires(app, acme, payer, made):
    user_id, visitor = payer.person.user_id, people.Browser(app.test_client())
    fresh = export_links.make(acme, made, user_id, now=utc_now())
    old = export_links.make(acme, made, user_id, now=utc_now() - timedelta(minutes=16))

    assert [200, 400, 400] == [fetch(visitor, f"/exports/{word}")[0] for word in (fresh, old, "x")]
    assert ("export.download", "nobody signed in") == acts(acme)[0]


def test_a_link_dies_with_its_makers_right(app, acme, payer, made):
    visitor = people.Browser(app.test_client())
    word = export_links.make(acme, made, payer.person.user_id, now=utc_now())
    people.member(acme, "owner")

    by = members.By(user_id=new_id(), role="owner")
    members.change_role(acme, payer.person.user_id, "viewer", by=by, name="payer")
    assert 403 == fetch(visitor, f"/exports/{word}")[0]

    members.change_role(acme, payer.person.user_id, "billing", by=by, name="payer")
    assert 200 == fetch(visitor, f"/exports/{word}")[0]
    people.person(platform_role="admin")
    deactivation.deactivate(payer.person.user_id)
    assert 403 == fetch(visitor, f"/exports/{word}")[0]


def test_somebody_signed_in_needs_the_right_himself(app, acme, payer, made):
    word = export_links.make(acme, made, payer.person.user_id, now=utc_now())
    viewer, stranger = people.member(acme, "viewer").client(app), people.person().client(app)

    assert [403, 403, 200] == [fetch(who, f"/exports/{word}")[0] for who in (viewer, stranger, payer)]


def test_the_audit_trail_is_for_those_who_may_read_it(app, acme, payer, home):
    admin = people.member(acme, "admin").client(app)
    export_id = order(acme, admin, kind="audit")
    export_jobs.run(str(export_id))

    assert home
    assert [303, 403] == [who.get(f"{root(acme)}/{export_id}/download").status_code for who in (admin, payer)]
    assert "Audit trail:" not in reading.text(payer.get(f"{root(acme)}/new"))
    again = payer.post(f"{root(acme)}/{export_id}/again")
    assert (303, 1) == (again.status_code, len(export_orders.page(acme).items))


def test_a_file_that_is_gone_says_so(acme, payer, made, books):
    word = export_links.make(acme, made, payer.person.user_id, now=utc_now())
    books.owner.execute("update export_job set file = null")

    answer = payer.get(f"/exports/{word}")

    assert (400, True) == (answer.status_code, "7 days" in reading.text(answer))
    assert "The file is gone" in reading.text(payer.get(f"{root(acme)}/{made}"))


def test_a_schedule_is_made_paused_and_deleted(acme, payer):
    form = {"kind": "focus", "format": "csv-machine", "every": "month", "name": "the bill", "new_id": new_id()}
    payer.post(root(acme), form)
    (schedule,) = export_schedules.of(acme)
    place = f"{root(acme)}/schedules/{schedule.schedule_id}"

    assert "the bill" in reading.text(payer.get(root(acme)))
    payer.post(f"{place}/pause")
    assert "paused" in reading.text(payer.get(root(acme)))
    payer.post(f"{place}/resume")
    assert export_schedules.of(acme)[0].enabled
    payer.post(f"{place}/delete")
    assert [] == export_schedules.of(acme)


def test_a_viewer_may_not_and_a_stranger_sees_nothing(app, acme, payer, made):
    viewer = people.member(acme, "viewer").client(app)
    stranger = people.member(workspaces.create(unique("other")), "owner").client(app)
    pages = ("", "/new", f"/{made}", f"/{made}/download")

    assert payer
    assert [403] * 4 == [viewer.get(root(acme) + page).status_code for page in pages]
    assert [404] * 4 == [stranger.get(root(acme) + page).status_code for page in pages]


def test_the_auditor_takes_away_and_orders_nothing(app, acme, made):
    auditor = people.person(platform_role="auditor").client(app)

    assert 303 == auditor.get(f"{root(acme)}/{made}/download").status_code
    assert 403 == auditor.post(root(acme), {"kind": "calls", "new_id": new_id()} | DAYS).status_code


def test_why_an_export_failed_is_on_its_page_and_its_job_on_the_platforms(app, acme, payer, home):
    export_id = order(acme, payer)
    (home / "exports").write_text("in the way")
    work = SimpleWorker([queue(LONG_QUEUE)], connection=queue().connection, serializer=JSONSerializer)
    work.work(burst=True, logging_level="CRITICAL")

    mine = payer.get(f"{root(acme)}/{export_id}")
    platform = people.person(platform_role="admin").client(app).get("/platform")

    assert export_jobs.NOT_MADE in reading.text(mine)
    assert "app.billing.export_jobs.run" in reading.text(platform)


def test_what_providers_take_is_for_the_platforms_people_alone(app, acme, payer, home, books):
    form = {"kind": "focus", "provider_cost": "yes"}
    refused = payer.post(root(acme), {"format": "csv-machine", "new_id": new_id()} | DAYS | form)
    operator = people.person(platform_role="admin").client(app)
    books.put(call(acme))
    books.take()
    export_id = order(acme, operator, **form)
    export_jobs.run(str(export_id))
    word = export_links.make(acme, export_id, operator.person.user_id, now=utc_now())
    stolen = export_links.make(acme, export_id, payer.person.user_id, now=utc_now())

    assert home
    assert (422, True) == (refused.status_code, "platform's people" in reading.text(refused))
    assert [403, 200, 403] == [
        fetch(who, f"/exports/{link}")[0] for who, link in ((payer, word), (operator, word), (operator, stolen))
    ]
    assert 403 == payer.get(f"{root(acme)}/{export_id}/download").status_code
    assert "x_ProviderCost" not in reading.text(payer.get(f"{root(acme)}/{export_id}"))
    assert "x_ProviderCost" in reading.text(operator.get(f"{root(acme)}/{export_id}"))
    assert 303 == payer.post(f"{root(acme)}/{export_id}/again").status_code
    assert 1 == len(export_orders.page(acme).items)


def test_the_manifest_on_the_page_is_that_of_the_bytes_one_gets(acme, payer, made):
    lead = payer.get(f"{root(acme)}/{made}/download")
    content = fetch(payer, lead.headers["Location"])[1]

    assert hashlib.sha256(content).hexdigest() in reading.text(payer.get(f"{root(acme)}/{made}"))
