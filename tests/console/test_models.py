from decimal import Decimal

import pytest

from app.model import models, price_book
from app.model.models import Deployment
from app.provider import providers
from app.units import PLATFORM_ID, new_id, utc_now
from app.workspace import pages, revisions, workspaces
from tests import people
from tests.billing.books import call, open_books
from tests.console import reading
from tests.factories import make_model, make_provider, unique

HTMX = {"HX-Request": "true"}
ODD_NAMES = (
    "meta/llama-3.1:8b",
    "a/b/c?x=1#y",
    "100%2F",
    "..",
    "quotes \"and' more",
    "<script>1</script>",
    "{{7*7}}",
    "🚀 مرحبا",
    "n" * 200,
)


@pytest.fixture
def admin(app, acme):
    return people.member(acme, "admin").client(app)


@pytest.fixture
def provider_id(acme):
    return make_provider(acme, "http://127.0.0.1:1/v1")


def root(workspace_id):
    return f"/w/{workspace_id}/models"


def a_form(provider_id, **fields):
    row = {"provider": provider_id, "upstream_model": "up", "weight": "", "priority": ""}
    return {"new_id": new_id(), "name": "m"} | row | fields


def only(workspace_id):
    (found,) = models.all_of(workspace_id)
    return found


def test_without_a_provider_the_next_step_is_to_add_one(acme, admin):
    listed, new = admin.get(root(acme)), admin.get(f"{root(acme)}/new")

    assert "No models yet" in reading.text(listed)
    assert "Add a provider first" in reading.text(new)
    assert f"/w/{acme}/providers/new" in reading.links(new)


def test_a_model_is_added_with_its_deployment(acme, admin, provider_id):
    form = reading.form(admin.get(f"{root(acme)}/new"), root(acme))

    answer = admin.post(root(acme), form.values(name="chat", provider=provider_id, upstream_model="up/large"))

    assert answer.headers["Location"] == f"{root(acme)}/{only(acme).model_id}"
    assert (Deployment(provider_id=provider_id, upstream_model="up/large"),) == only(acme).deployments


def test_bc_112_the_same_form_sent_twice_makes_one_model(acme, admin, provider_id):
    form = a_form(provider_id)

    first, second = (admin.post(root(acme), form) for _ in range(2))

    assert first.headers["Location"] == second.headers["Location"]
    assert only(acme)


def test_deployments_are_added_changed_and_removed_in_one_form(acme, admin, provider_id):
    other = make_provider(acme, "http://127.0.0.1:2/v1")
    admin.post(root(acme), a_form(provider_id, name="chat"))
    address = f"{root(acme)}/{only(acme).model_id}"

    page = reading.form(admin.get(address), address)
    added = page.values(
        provider=[provider_id, other], upstream_model=["up", "b"], weight=["3", "0"], priority=["0", "1"]
    )
    admin.post(address, added)
    two = only(acme).deployments
    admin.post(address, added | {"upstream_model": ["", "b"]})

    assert [("up", 3, 0), ("b", 0, 1)] == [(one.upstream_model, one.weight, one.priority) for one in two]
    assert [("b", 0)] == [(one.upstream_model, one.weight) for one in only(acme).deployments]


def test_saving_a_page_as_it_is_changes_nothing(acme, admin, provider_id):
    deployments = [
        Deployment(provider_id=provider_id, upstream_model=name, weight=0, priority=turn)
        for turn, name in enumerate(("@cf/meta/x", "b"))
    ]
    model_id = models.save(acme, "chat", deployments)
    price_book.set_prices(acme, model_id, {"input": Decimal("0.000001"), "output": Decimal(0)}, now=utc_now())
    before, prices = only(acme), price_book.current(acme)
    address = f"{root(acme)}/{model_id}"

    page = admin.get(address)
    for action in (address, f"{address}/prices"):
        assert 303 == admin.post(action, reading.form(page, action).values()).status_code

    assert (before, prices) == (only(acme), price_book.current(acme))


@pytest.mark.parametrize("name", ODD_NAMES)
def test_bc_111_a_model_of_any_name_can_be_opened_edited_disabled_and_removed(acme, admin, provider_id, name):
    admin.post(root(acme), a_form(provider_id, name=name))
    address = f"{root(acme)}/{only(acme).model_id}"

    shown = [admin.get(path) for path in (root(acme), address, f"{address}/delete")]
    edited = admin.post(address, reading.form(shown[1], address).values(weight=["0", ""]))
    after, listed = only(acme), reading.text(admin.get(root(acme)))
    removed = admin.post(f"{address}/delete")

    assert all(name in reading.text(page) for page in shown)
    assert address in reading.links(shown[0])
    assert (303, name, 0) == (edited.status_code, after.name, after.deployments[0].weight)
    assert f"{name} {listed}".count(" off") == 1
    assert (303, []) == (removed.status_code, models.all_of(acme))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": ""}, "must have 1 to 200 characters"),
        ({"name": "taken"}, "already"),
        ({"provider": ""}, "choose the account that serves it"),
        ({"provider": PLATFORM_ID}, "is none of this workspace"),
        ({"weight": "abc"}, "must be a whole number"),
        ({"weight": "9999999"}, "must be a whole number from 0 to 1000000"),
        ({"priority": "-1"}, "must be a whole number"),
        (
            {"upstream_model": ["a", "a"], "provider": "same", "weight": ["", ""]},
            "name the same provider and model twice",
        ),
    ],
)
def test_bc_109_a_problem_is_said_in_a_fragment(acme, admin, provider_id, fields, problem):
    make_model(acme, provider_id, "taken")
    if fields.get("provider") == "same":
        fields = fields | {"provider": [provider_id, provider_id], "priority": ["", ""]}

    answer = admin.post(root(acme), a_form(provider_id, name="new") | fields, headers=HTMX)

    assert answer.status_code == 422
    assert not reading.is_whole_page(answer)
    assert problem in reading.text(answer)
    assert "taken" == only(acme).name


@pytest.mark.parametrize(
    "case", [("0", Decimal(0), "$0.00"), ("", None, "unpriced"), ("0.000001", Decimal("0.000001"), "$0.000001")]
)
def test_unpriced_is_said_and_zero_is_free(acme, admin, provider_id, case):
    typed, stored, shown = case
    model_id = make_model(acme, provider_id, "chat", price=None)
    address = f"{root(acme)}/{model_id}"

    answer = admin.post(f"{address}/prices", {"input": typed, "output": "1"})

    assert 303 == answer.status_code
    assert stored == price_book.current(acme)[model_id].get("input")
    assert shown in reading.text(admin.get(root(acme)))
    assert typed == reading.form(admin.get(address), f"{address}/prices").values()["input"]


def test_a_model_without_any_price_says_so(acme, admin, provider_id):
    model_id = make_model(acme, provider_id, "chat", price=None)

    assert "unpriced Its calls are counted" in reading.text(admin.get(f"{root(acme)}/{model_id}"))


def test_a_changed_price_counts_from_now_and_reaches_the_proxies(acme, admin, provider_id):
    model_id = make_model(acme, provider_id, "chat", price={"input": Decimal(1), "output": Decimal(2)})
    before = revisions.current()[0]

    admin.post(f"{root(acme)}/{model_id}/prices", {"input": "3"})

    assert {model_id: {"input": Decimal(3)}} == price_book.current(acme)
    assert before + 1 == revisions.current()[0]


@pytest.mark.parametrize("typed", ["1.0000001", "1,5", "-1", "1e3", "NaN", "free", "\uff11", "1000001"])
def test_a_price_that_is_not_exact_dollars_is_refused(acme, admin, provider_id, typed):
    model_id = make_model(acme, provider_id, "chat")
    before = price_book.current(acme)

    answer = admin.post(f"{root(acme)}/{model_id}/prices", {"input": typed, "output": "2"}, headers=HTMX)

    assert answer.status_code == 422
    (field,) = [given for _, given in reading.attributes(answer) if given.get("name") == "input"]
    assert (typed, "true") == (field["value"], field["aria-invalid"])
    assert before == price_book.current(acme)


def test_removing_says_how_many_calls_of_the_last_hour_it_stops(acme, admin, provider_id, fresh_database, redis_url):
    model_id = make_model(acme, provider_id, "chat")
    books = open_books(fresh_database, redis_url)
    books.put(call(acme, at=utc_now(), model_id=model_id), call(acme, at=utc_now()))
    books.take()
    for client in (books.redis, books.owner, books.ingest):
        client.close()

    confirm = reading.text(admin.get(f"{root(acme)}/{model_id}/delete"))

    assert "In the last hour there was 1 such call." in confirm
    assert [model_id] == [one.model_id for one in models.all_of(acme)]


def test_search_and_pages_keep_to_their_own_address(acme, admin, provider_id):
    for number in range(pages.SIZE + 2):
        make_model(acme, provider_id, f"chat/{number:03}", price=None)
    second = next(link for link in reading.links(admin.get(f"{root(acme)}?q=CHAT")) if "after=" in link)

    by_htmx, reload = admin.get(second, headers=HTMX), admin.get(second)

    assert "q=CHAT" in second
    assert [False, True] == [reading.is_whole_page(page) for page in (by_htmx, reload)]
    assert all("chat/051" in reading.text(page) and "chat/001" not in reading.text(page) for page in (by_htmx, reload))


def test_the_platforms_models_are_seen_with_their_price_and_not_opened(acme, admin):
    shared = make_provider(PLATFORM_ID, "http://hidden.example/v1")
    model_id = make_model(PLATFORM_ID, shared, "shared/chat", price={"input": Decimal("1.25")})

    page = admin.get(f"{root(acme)}?of=platform")

    assert "shared/chat" in reading.text(page)
    assert "$1.25" in reading.text(page)
    assert "hidden.example" not in page.get_data(as_text=True)
    assert [404, 404] == [admin.get(f"{root(where)}/{model_id}").status_code for where in (acme, PLATFORM_ID)]


def test_the_platforms_admin_runs_its_models_on_the_same_pages(app):
    shared = make_provider(PLATFORM_ID, "http://127.0.0.1:1/v1")
    browser = people.person(platform_role="admin").client(app)

    answer = browser.post(root(PLATFORM_ID), a_form(shared, name="shared/chat"))

    assert answer.status_code == 303
    assert models.by_name(PLATFORM_ID, "shared/chat")
    assert "shared/chat" in reading.text(browser.get(root(PLATFORM_ID)))


def test_what_a_file_manages_is_shown_and_not_changed(acme, admin, provider_id):
    model_id = models.save(acme, "chat", [Deployment(provider_id=provider_id, upstream_model="u")], managed_by="file")
    address, before = f"{root(acme)}/{model_id}", only(acme)

    page = admin.get(address)
    answers = [admin.post(f"{address}{end}", a_form(provider_id, input="1")) for end in ("", "/prices", "/delete")]

    assert "The configuration file manages this model" in reading.text(page)
    assert [409, 409, 409] == [answer.status_code for answer in answers]
    assert (before, {}) == (only(acme), price_book.current(acme))


CHANGES = [
    ("GET", "/new"),
    ("POST", ""),
    ("POST", "/{id}"),
    ("POST", "/{id}/prices"),
    ("GET", "/{id}/delete"),
    ("POST", "/{id}/delete"),
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("role", ["viewer", "billing", "developer"])
def test_who_may_only_look_may_not_change(app, acme, provider_id, role, change):
    method, end = change
    model_id = make_model(acme, provider_id, "chat")
    before, browser = only(acme), people.member(acme, role).client(app)

    answer = browser.send(method, root(acme) + end.format(id=model_id), a_form(provider_id))

    assert (403, 200) == (answer.status_code, browser.get(f"{root(acme)}/{model_id}").status_code)
    assert before == only(acme)


@pytest.mark.parametrize(("method", "end"), [("GET", ""), ("GET", "/{id}"), *CHANGES])
def test_another_workspaces_models_are_not_there(acme, admin, method, end):
    other = workspaces.create(unique("other"))
    theirs = make_provider(other, "http://127.0.0.1:1/v1")
    model_id = make_model(other, theirs, "chat")
    before = only(other)

    there = admin.send(method, root(other) + end.format(id=model_id), a_form(theirs))
    here = admin.send(method, root(acme) + end.format(id=model_id), a_form(theirs)) if "{id}" in end else there

    assert (404, 404) == (there.status_code, here.status_code)
    assert before == only(other)
    assert providers.all_of(acme) == []
