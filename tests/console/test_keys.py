import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import text

from app.application import applications, keys
from app.application.keys import Limits
from app.auth.callers import Callers
from app.console.keys import countdown
from app.extensions import transaction, vault
from app.units import PLATFORM_ID, new_id, utc_now
from app.workspace import pages, workspaces
from tests import people
from tests.billing.books import call, open_books
from tests.console import reading
from tests.factories import unique

HTMX = {"HX-Request": "true"}
NEXT_YEAR = utc_now().year + 1


@pytest.fixture
def chatbot(acme):
    return applications.create(acme, "chatbot")


@pytest.fixture
def developer(app, acme):
    return people.member(acme, "developer").client(app)


@pytest.fixture
def ledger(fresh_database, redis_url):
    """Have a key make calls, long since settled and in the ledger."""
    books = open_books(fresh_database, redis_url)

    def add(workspace_id, application_id, key_id, at):
        books.put(call(workspace_id, at=at, application_id=application_id, key_id=key_id))
        books.take()

    yield add
    for client in (books.redis, books.owner, books.ingest):
        client.close()


def root(workspace_id):
    return f"/w/{workspace_id}/keys"


def make(browser, workspace_id, application_id, **fields):
    """Fill the form in as a person does; answer with the page that shows the secret."""
    form = reading.form(browser.get(f"{root(workspace_id)}/new"), root(workspace_id))
    return browser.post(root(workspace_id), form.values(**{"name": "ci", "application": application_id} | fields))


def secret_in(answer):
    assert answer.status_code == 200, reading.text(answer)
    return next(word for word in reading.text(answer).split() if word.startswith("gw_"))


def only(workspace_id):
    (found,) = keys.all_of(workspace_id)
    return found


def finds(secret, at):
    """Tell whether a proxy that read every key now would serve this secret at an instant."""
    callers = Callers()
    with transaction(PLATFORM_ID) as session:
        callers.update([dict(row) for row in session.execute(text("select * from keys_since(0)")).mappings()])
    return callers.find(vault().hash_key(secret.encode()), at.timestamp()) is not None


def test_without_an_application_the_next_step_is_to_make_one(acme, developer):
    page = developer.get(f"{root(acme)}/new")

    assert "Create an application first" in reading.text(page)
    assert f"/w/{acme}/applications/new" in reading.links(page)


def test_an_empty_list_says_the_next_step(acme, chatbot, developer):
    page = developer.get(root(acme))

    assert chatbot
    assert "No keys yet" in reading.text(page)
    assert f"{root(acme)}/new" in reading.links(page)


def test_a_secret_is_shown_once_and_never_again(acme, chatbot, developer):
    made = make(developer, acme, chatbot)
    secret = secret_in(made)

    key = only(acme)
    later = [developer.get(f"{root(acme)}{end}") for end in ("", f"/{key.key_id}", f"/{key.key_id}/rotate")]

    assert finds(secret, utc_now())
    assert ("no-store", True) == (made.headers["Cache-Control"], 'hx-history="false"' in made.get_data(as_text=True))
    assert not any(secret in page.get_data(as_text=True) for page in later)
    assert all(f"{key.prefix}…{key.last4}" in reading.text(page) for page in later[:2])


def test_for_htmx_the_secret_is_a_fragment_kept_out_of_history(acme, chatbot, developer):
    form = {"new_id": new_id(), "name": "ci", "application": chatbot, "models": "*"}

    answer = developer.post(root(acme), form, headers=HTMX)

    assert not reading.is_whole_page(answer)
    assert ("div", {"id": "form", "hx-history": "false"}) in reading.attributes(answer)
    assert finds(secret_in(answer), utc_now())


def test_bc_112_two_identical_posts_at_once_make_one_key(app, acme, chatbot):
    somebody = people.member(acme, "developer")
    form = {"new_id": new_id(), "name": "ci", "application": chatbot, "models": "*"}

    with ThreadPoolExecutor(4) as threads:
        sent = [threads.submit(somebody.client(app).post, root(acme), form) for _ in range(4)]
        answers = [one.result() for one in sent]

    assert [200, 303, 303, 303] == sorted(answer.status_code for answer in answers)
    others = [answer for answer in answers if answer.status_code == 303]
    assert {f"{root(acme)}/{only(acme).key_id}"} == {answer.headers["Location"] for answer in others}
    assert not any("gw_" in answer.get_data(as_text=True) for answer in others)


@pytest.mark.parametrize(("typed", "stored"), [("0", 0), ("", None), ("60", 60)])
def test_bc_039_zero_is_nothing_and_empty_is_no_limit(acme, chatbot, developer, typed, stored):
    make(developer, acme, chatbot, requests_per_min=typed)
    address = f"{root(acme)}/{only(acme).key_id}"

    for _ in range(3):
        form = reading.form(developer.get(address), address)
        assert typed == form.values()["requests_per_min"]
        assert developer.post(address, form.values()).status_code == 303

    assert stored == only(acme).limits.requests_per_min


def test_bc_082_a_key_with_nothing_ticked_is_not_a_key_for_everything(acme, chatbot, developer):
    refused = [make(developer, acme, chatbot, models=models) for models in ("some", "")]

    assert [422, 422] == [answer.status_code for answer in refused]
    assert all("choose every model" in reading.text(answer) for answer in refused)
    assert keys.all_of(acme) == []


def test_the_models_that_are_ticked_are_the_keys_and_stay_ticked(acme, chatbot, developer):
    keys.create(acme, chatbot, "ci", models=["gone/model", "😀"])
    address = f"{root(acme)}/{only(acme).key_id}"

    form = reading.form(developer.get(address), address)
    developer.post(address, form.values(name="renamed"))

    assert form.values()["models"] == "some"
    assert {"gone/model", "😀"} == set(only(acme).models)


@pytest.mark.parametrize("timezone", ["UTC", "America/New_York"])
def test_bc_087_an_expiry_is_the_workspaces_wall_clock(acme, chatbot, developer, monkeypatch, timezone):
    monkeypatch.setenv("TZ", timezone)
    time.tzset()
    workspaces.set_timezone(acme, "Asia/Kolkata")
    try:
        secret = secret_in(make(developer, acme, chatbot, expires_at=f"{NEXT_YEAR}-03-01T00:00"))
        page = reading.text(developer.get(root(acme)))
    finally:
        monkeypatch.undo()
        time.tzset()

    instant = datetime(NEXT_YEAR, 2, 28, 18, 30, tzinfo=UTC)
    assert instant == only(acme).expires_at
    assert finds(secret, instant - timedelta(seconds=1))
    assert not finds(secret, instant)
    assert f"{NEXT_YEAR}-03-01 00:00 IST" in page


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("2026-03-01T00:00", "lies in the past"),
        (f"{NEXT_YEAR}-03-15T02:30", None),
        ("2027-03-28T02:30", "no date and time that exists in Europe/Berlin"),
        ("tomorrow", "no date and time that exists"),
        (f"{NEXT_YEAR}-03-01T00:00+02:00", "no date and time that exists"),
    ],
)
def test_an_expiry_that_cannot_be_meant_is_refused(acme, chatbot, developer, typed, problem):
    workspaces.set_timezone(acme, "Europe/Berlin")

    answer = make(developer, acme, chatbot, expires_at=typed)

    assert (422 if problem else 200) == answer.status_code
    assert (problem or "") in reading.text(answer)


def test_bc_106_saving_one_field_leaves_the_others(acme, chatbot, developer):
    limits = Limits(requests_per_min=7, tokens_per_min=0, parallel=3, budget_usd=1, budget_period="month")
    expires = utc_now() + timedelta(days=9, seconds=13)
    new = keys.create(acme, chatbot, "ci", models=["a", "b"], limits=limits, expires_at=expires)
    before, address = keys.get(acme, new.key_id), f"{root(acme)}/{new.key_id}"

    page = developer.get(address)
    developer.post(address, reading.form(page, address).values(name="renamed"))

    after = keys.get(acme, new.key_id)
    assert "renamed" == after.name
    for name in ("models", "limits", "expires_at", "application_id", "state"):
        assert getattr(before, name) == getattr(after, name), name
    assert "Budget $1.00 per month stored, not enforced yet" in reading.text(page)
    assert not {"tokens_per_min", "parallel", "budget_usd"} & set(reading.form(page, address).values())


def test_bc_109_a_bad_limit_is_said_beside_its_field(acme, chatbot, developer):
    form = {"new_id": new_id(), "name": "ci", "application": chatbot, "models": "*", "requests_per_min": "abc"}

    answer = developer.post(root(acme), form, headers=HTMX)

    assert answer.status_code == 422
    assert not reading.is_whole_page(answer)
    (typed,) = [given for tag, given in reading.attributes(answer) if given.get("name") == "requests_per_min"]
    assert ("abc", "true") == (typed["value"], typed["aria-invalid"])
    assert "must be a whole number" in reading.text(answer)


def test_bc_109_without_the_database_a_general_error_is_seen(acme, chatbot, developer, servers, fresh_database):
    form = {"new_id": new_id(), "name": "ci", "application": chatbot, "models": "*"}

    with servers.away(fresh_database):
        answer = developer.post(root(acme), form, headers=HTMX)

    assert answer.status_code == 503
    assert "The database does not answer" in answer.headers["HX-Trigger"]
    assert "The database does not answer" in reading.text(answer)


@pytest.mark.parametrize("state", ["active", "revoked"])
def test_bc_110_page_two_is_a_whole_page_when_it_is_gone_back_to(acme, chatbot, developer, state):
    for number in range(pages.SIZE + 2):
        new = keys.create(acme, chatbot, f"key {number:03}", models=["*"])
        if state == "revoked":
            keys.revoke(acme, new.key_id)
    second = next(x for x in reading.links(developer.get(f"{root(acme)}?state={state}")) if "after=" in x)

    by_htmx = developer.get(second, headers=HTMX)
    back = developer.get(second, headers=HTMX | {"HX-History-Restore-Request": "true"})
    reload = developer.get(second)

    assert [False, True, True] == [reading.is_whole_page(page) for page in (by_htmx, back, reload)]
    for page in (by_htmx, back, reload):
        assert "HX-Request" in page.headers["Vary"]
        assert "key 001" in reading.text(page)
        assert "key 051" not in reading.text(page)


def test_search_looks_in_names_applications_and_prefixes(acme, chatbot, developer):
    other = applications.create(acme, "reranker")
    mine, theirs = keys.create(acme, chatbot, "number one", models=["*"]), keys.create(acme, other, "two", models=["*"])

    found = {
        q: {link for link in reading.links(developer.get(f"{root(acme)}?q={q}", headers=HTMX)) if "?" not in link}
        for q in ("R ONE", "rerank", keys.get(acme, mine.key_id).prefix, "nothing")
    }

    first, second = (f"{root(acme)}/{key.key_id}" for key in (mine, theirs))
    assert [{first}, {second}, {first}, set()] == list(found.values())


def test_rotating_with_overlap_serves_both_secrets_until_the_old_one_ends(acme, chatbot, developer):
    old = secret_in(make(developer, acme, chatbot))
    address = f"{root(acme)}/{only(acme).key_id}"
    form = reading.form(developer.get(f"{address}/rotate"), f"{address}/rotate")

    new = secret_in(developer.post(f"{address}/rotate", form.values(overlap="24")))

    now = utc_now()
    assert old != new
    assert (True, True) == (finds(old, now), finds(new, now))
    assert (False, True) == (finds(old, now + timedelta(hours=24)), finds(new, now + timedelta(days=9)))
    assert "The old secret works for 23 h 59 min more" in reading.text(developer.get(address))
    assert "rotating" in reading.text(developer.get(root(acme)))


def test_the_countdown_asks_for_itself_alone(acme, chatbot, developer):
    make(developer, acme, chatbot)
    address = f"{root(acme)}/{only(acme).key_id}"
    developer.post(f"{address}/rotate", {"overlap": "1", "revision": only(acme).revision})

    piece = developer.get(address, headers=HTMX | {"HX-Target": "overlap"})

    assert reading.attributes(piece)[0][1]["id"] == "overlap"
    assert "59 min more" in reading.text(piece)


def test_the_old_secret_can_be_stopped_at_once(acme, chatbot, developer):
    old = secret_in(make(developer, acme, chatbot))
    address = f"{root(acme)}/{only(acme).key_id}"
    new = secret_in(developer.post(f"{address}/rotate", {"overlap": "168", "revision": only(acme).revision}))

    developer.post(f"{address}/end-overlap")

    assert (False, True) == (finds(old, utc_now()), finds(new, utc_now()))


def test_a_rotation_sent_twice_rotates_once(acme, chatbot, developer):
    make(developer, acme, chatbot)
    address = f"{root(acme)}/{only(acme).key_id}"
    form = {"overlap": "0", "revision": only(acme).revision}

    first, second = (developer.post(f"{address}/rotate", form) for _ in range(2))

    assert (200, 409) == (first.status_code, second.status_code)
    assert finds(secret_in(first), utc_now())


@pytest.mark.parametrize("overlap", ["", "9999", "-1", "x"])
def test_only_the_overlaps_on_offer_are_taken(acme, chatbot, developer, overlap):
    make(developer, acme, chatbot)
    before = only(acme)

    answer = developer.post(f"{root(acme)}/{before.key_id}/rotate", {"overlap": overlap, "revision": before.revision})

    assert answer.status_code == 422
    assert before == only(acme)


def test_revoking_says_how_many_calls_of_the_last_hour_it_stops(acme, chatbot, developer, ledger):
    secret = secret_in(make(developer, acme, chatbot))
    key, now = only(acme), utc_now()
    for age in (timedelta(minutes=5), timedelta(minutes=50), timedelta(hours=2)):
        ledger(acme, chatbot, key.key_id, now - age)

    confirm = developer.get(f"{root(acme)}/{key.key_id}/revoke")
    first, again = (developer.post(f"{root(acme)}/{key.key_id}/revoke") for _ in range(2))

    assert "In the last hour 2 calls came with it." in reading.text(confirm)
    assert "chatbot can no longer call" in reading.text(confirm)
    assert (303, 303, "revoked") == (first.status_code, again.status_code, only(acme).state)
    assert not finds(secret, utc_now())


def test_last_used_is_the_newest_call_in_the_ledger(acme, chatbot, developer, ledger):
    make(developer, acme, chatbot)
    workspaces.set_timezone(acme, "Asia/Kathmandu")
    never = reading.text(developer.get(root(acme)))
    for day in (1, 3, 2):
        ledger(acme, chatbot, only(acme).key_id, datetime(2026, 5, day, 6, 15, tzinfo=UTC))

    pages_shown = [developer.get(path) for path in (root(acme), f"{root(acme)}/{only(acme).key_id}")]

    assert "never" in never
    for page in pages_shown:
        assert "2026-05-03 12:00 +0545" in reading.text(page)


def test_the_stale_view_lists_old_keys_without_a_call(acme, chatbot, developer, ledger, fresh_database):
    ages = {"young": 3, "forgotten": 40, "used": 40, "ancient": 100}
    made = {name: keys.create(acme, chatbot, name, models=["*"]).key_id for name in ages}
    with psycopg.connect(fresh_database.owner_url, autocommit=True) as connection:
        for name, days in ages.items():
            older = "update api_key set created_at = now() - make_interval(days => %s) where key_id = %s"
            connection.execute(older, [days, made[name]])
    ledger(acme, chatbot, made["used"], utc_now() - timedelta(days=2))
    ledger(acme, chatbot, made["ancient"], utc_now() - timedelta(days=45))

    shown = {}
    for days in (30, 90):
        links = reading.links(developer.get(f"{root(acme)}?unused={days}", headers=HTMX))
        shown[days] = {name for name, key_id in made.items() if f"{root(acme)}/{key_id}" in links}

    assert {30: {"forgotten", "ancient"}, 90: set()} == shown


def test_bc_104_names_are_text_in_every_place(acme, developer):
    name = "\"><img src=x onerror=alert(1)>');alert(1)//{{7*7}}"
    application_id = applications.create(acme, name)
    key_id = keys.create(acme, application_id, name, models=[name]).key_id
    paths = ["", "/new", f"/{key_id}", f"/{key_id}/rotate", f"/{key_id}/revoke", f"?q={name}"]

    for path in paths:
        page = developer.get(root(acme) + path)
        assert name in reading.text(page), path
        assert not any(tag == "img" and given.get("src") == "x" for tag, given in reading.attributes(page))
        assert not any(attribute.startswith("on") for _, given in reading.attributes(page) for attribute in given)


def test_what_a_file_manages_is_shown_and_not_changed(acme, chatbot, developer):
    key_id = keys.create(acme, chatbot, "ci", models=["a"], managed_by="file").key_id
    address, before = f"{root(acme)}/{key_id}", keys.get(acme, key_id)
    form = {"name": "x", "models": "*", "overlap": "0", "revision": before.revision}

    page = developer.get(address)
    answers = [developer.post(f"{address}{end}", form) for end in ("", "/rotate", "/end-overlap", "/revoke")]

    assert "The configuration file manages this key" in reading.text(page)
    assert [409] * 4 == [answer.status_code for answer in answers]
    assert before == keys.get(acme, key_id)


def test_an_application_of_another_workspace_cannot_get_a_key(acme, chatbot, developer):
    theirs = applications.create(workspaces.create(unique("other")), "theirs")

    answer = make(developer, acme, theirs)

    assert chatbot
    assert answer.status_code == 422
    assert "is none of this workspace" in reading.text(answer)


CHANGES = [
    ("GET", "/new"),
    ("POST", ""),
    ("POST", "/{id}"),
    ("GET", "/{id}/rotate"),
    ("POST", "/{id}/rotate"),
    ("POST", "/{id}/end-overlap"),
    ("GET", "/{id}/revoke"),
    ("POST", "/{id}/revoke"),
]


def a_form(application_id, revision):
    made = {"new_id": new_id(), "name": "x", "models": "*", "application": application_id}
    return made | {"overlap": "0", "revision": revision}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("role", ["viewer", "billing"])
def test_who_may_only_look_may_not_change(app, acme, chatbot, role, change):
    method, end = change
    keys.create(acme, chatbot, "ci", models=["a"])
    before = only(acme)
    path = root(acme) + end.format(id=before.key_id)

    answer = people.member(acme, role).client(app).send(method, path, a_form(chatbot, before.revision))

    assert answer.status_code == 403
    assert before == only(acme)


@pytest.mark.parametrize(("method", "end"), [("GET", ""), ("GET", "/{id}"), *CHANGES])
def test_another_workspaces_keys_are_not_there(acme, developer, method, end):
    other = workspaces.create(unique("other"))
    theirs = applications.create(other, "theirs")
    keys.create(other, theirs, "ci", models=["a"])
    before = only(other)
    form = a_form(theirs, before.revision)

    there = developer.send(method, root(other) + end.format(id=before.key_id), form)
    here = developer.send(method, root(acme) + end.format(id=before.key_id), form) if "{id}" in end else there

    assert (404, 404) == (there.status_code, here.status_code)
    assert before == only(other)
    assert keys.all_of(acme) == []


@pytest.mark.parametrize("role", ["viewer", "billing", "developer", "admin", "owner"])
def test_everybody_of_the_workspace_sees_them(app, acme, chatbot, role):
    keys.create(acme, chatbot, "ci", models=["a"])
    browser = people.member(acme, role).client(app)

    shown = [browser.get(path) for path in (root(acme), f"{root(acme)}/{only(acme).key_id}")]

    assert [200, 200] == [page.status_code for page in shown]
    assert (role not in {"viewer", "billing"}) == any(link.endswith("/new") for link in reading.links(shown[0]))


def test_a_countdown_says_the_two_largest_units():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    spans = [
        timedelta(days=6, hours=23, minutes=59),
        timedelta(hours=2, minutes=5),
        timedelta(seconds=59),
        -timedelta(1),
    ]

    assert ["6 d 23 h", "2 h 5 min", "0 min", "0 min"] == [countdown(now + span, now) for span in spans]
