import re
import socket
import threading
import time

import pytest

from app.crypto import Vault
from app.model import models
from app.provider import credentials, providers, upstream_models
from app.units import PLATFORM_ID, new_id
from app.workspace import workspaces
from tests import people
from tests.console import reading
from tests.factories import PROVIDER_KEY, make_model, unique
from tests.upstream import reply

HTMX = {"HX-Request": "true"}
LIST = b'{"object": "list", "data": [{"id": "small"}, {"id": "<script>1</script>"}, {"id": "big"}, {}]}'


@pytest.fixture
def admin(app, acme):
    return people.member(acme, "admin").client(app)


@pytest.fixture
def provider_id(acme, upstream):
    return providers.save(acme, "mock", kind="openai", base_url=upstream.url, api_key=PROVIDER_KEY)


def root(workspace_id):
    return f"/w/{workspace_id}/providers"


def stored(workspace_id, provider_id):
    return credentials.opened(workspace_id, provider_id)


def test_an_empty_list_says_the_next_step(acme, admin):
    page = admin.get(root(acme))

    assert "No providers yet" in reading.text(page)
    assert f"{root(acme)}/new" in reading.links(page)


def test_a_provider_is_added_and_its_secret_sealed(acme, admin):
    form = reading.form(admin.get(f"{root(acme)}/new"), root(acme))

    answer = admin.post(root(acme), form.values(name="eu/azure", kind="mistral", api_key=PROVIDER_KEY, idle_s="2.5"))

    (made,) = providers.all_of(acme)
    assert answer.headers["Location"] == f"{root(acme)}/{made.provider_id}"
    assert ("eu/azure", "mistral", "https://api.mistral.ai/v1") == (made.name, made.kind, made.base_url)
    assert {"idle_s": 2.5} == made.timeouts
    assert PROVIDER_KEY == stored(acme, made.provider_id)


def test_bc_112_the_same_form_sent_twice_makes_one_provider(acme, admin):
    form = {"new_id": new_id(), "name": "mock", "kind": "openai", "api_key": PROVIDER_KEY}

    first, second = (admin.post(root(acme), form) for _ in range(2))

    assert first.headers["Location"] == second.headers["Location"]
    assert len(providers.all_of(acme)) == 1


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": "=x"}, "a spreadsheet takes for a formula"),
        ({"name": "mock"}, "already"),
        ({"kind": "nothing"}, "must be one of"),
        ({"base_url": "ftp://x"}, "must start with http"),
        ({"base_url": "https://user:pw@x"}, "must not hold a user or password"),
        ({"api_key": "two words"}, "must be ASCII without spaces"),
        ({"idle_s": "soon"}, "must be a number of seconds"),
        ({"idle_s": "0"}, "above 0"),
    ],
)
def test_bc_109_a_problem_stands_beside_its_field(acme, admin, provider_id, fields, problem):
    form = {"new_id": new_id(), "name": "other", "kind": "openai", "base_url": "http://stub/v1"}

    answer = admin.post(root(acme), form | fields, headers=HTMX)

    assert answer.status_code == 422
    assert not reading.is_whole_page(answer)
    assert problem in reading.text(answer)
    assert [provider_id] == [one.provider_id for one in providers.all_of(acme)]


def test_bc_091_the_stored_secret_never_comes_back(acme, admin, provider_id):
    paths = ["", f"/{provider_id}", f"/{provider_id}/delete"]
    shown = [admin.get(root(acme) + path, headers=headers) for path in paths for headers in ({}, HTMX)]
    shown.append(admin.post(f"{root(acme)}/{provider_id}", {"name": "", "api_key": PROVIDER_KEY}))

    assert not any(PROVIDER_KEY in page.get_data(as_text=True) for page in shown)
    assert "••••cdef" in reading.text(shown[0])
    assert "Stored: ••••cdef" in reading.text(shown[2])


@pytest.mark.parametrize("typed", ["", "••••cdef", "   "])
def test_bc_091_a_blank_or_the_mask_keeps_the_secret(acme, admin, provider_id, typed):
    address = f"{root(acme)}/{provider_id}"

    answer = admin.post(address, reading.form(admin.get(address), address).values(name="renamed", api_key=typed))

    assert answer.status_code == 303
    assert ("renamed", PROVIDER_KEY) == (providers.get(acme, provider_id).name, stored(acme, provider_id))


def test_a_secret_that_is_typed_replaces_the_stored_one(acme, admin, provider_id):
    address = f"{root(acme)}/{provider_id}"

    admin.post(address, reading.form(admin.get(address), address).values(api_key="another-secret-0001"))
    replaced = stored(acme, provider_id)
    admin.post(address, reading.form(admin.get(address), address).values(no_secret="yes"))

    assert "another-secret-0001" == replaced
    assert "" == stored(acme, provider_id)
    assert "Leave it empty to keep it" not in reading.text(admin.get(address))


def test_a_secret_never_follows_the_account_to_another_host(acme, admin, provider_id):
    address, before = f"{root(acme)}/{provider_id}", providers.get(acme, provider_id)
    form = reading.form(admin.get(address), address)

    refused = admin.post(address, form.values(base_url="http://attacker.example/v1"))
    kept = providers.get(acme, provider_id)
    taken = admin.post(address, form.values(base_url="http://other.example/v1", api_key="another-secret-0001"))

    assert (422, before) == (refused.status_code, kept)
    assert "must be given again" in reading.text(refused)
    assert 303 == taken.status_code
    assert "http://other.example/v1" == providers.get(acme, provider_id).base_url


def test_saving_a_page_as_it_is_changes_nothing(acme, admin):
    deadlines = {"connect_s": 1, "total_s": 86400, "first_byte_s": 0.25}
    made = providers.save(
        acme, "m", kind="groq", base_url="http://x?api-version=1", api_key=PROVIDER_KEY, timeouts=deadlines
    )
    before, address = providers.get(acme, made), f"{root(acme)}/{made}"

    admin.post(address, reading.form(admin.get(address), address).values())

    assert before == providers.get(acme, made)
    assert PROVIDER_KEY == stored(acme, made)


def test_the_test_lists_the_upstreams_models_and_costs_nothing(acme, admin, provider_id, upstream):
    upstream.will(reply(200, LIST))

    answer = admin.post(f"{root(acme)}/{provider_id}/test", headers=HTMX)

    (asked,) = upstream.requests
    assert ("/v1/models", b"GET") == (asked.path, asked.head.split(b" ")[0])
    assert f"Bearer {PROVIDER_KEY}" == asked.header("authorization")
    assert not reading.is_whole_page(answer)
    assert "lists 3 models" in reading.text(answer)
    assert "<script>1</script>" in reading.text(answer)
    assert not any(tag == "script" for tag, _ in reading.attributes(answer))


def test_the_test_works_as_a_plain_form_too(acme, admin, provider_id, upstream):
    upstream.will(reply(200, LIST))

    answer = admin.post(f"{root(acme)}/{provider_id}/test")

    assert reading.is_whole_page(answer)
    assert "lists 3 models" in reading.text(answer)


@pytest.mark.parametrize(
    "case",
    [
        (reply(401, b'{"error": "Incorrect API key sk-upstream-0123456789abcdef"}'), "does not accept the secret"),
        (reply(404, b"<script>1</script>"), "no list of models at this address"),
        (reply(429, b"{}"), "is busy"),
        (reply(500, b"{}"), "answered with an error (500)"),
        (reply(302, b"", "text/html", "Location: http://127.0.0.1:1/v1/models"), "sends elsewhere (302)"),
        (reply(200, b"<html>"), "not with a list of models"),
        (reply(200, b'{"data": {"id": "x"}}'), "not with a list of models"),
        (b"nonsense\r\n\r\n", "cannot be reached"),
    ],
)
def test_a_test_that_fails_says_why_in_words_without_address_or_secret(acme, admin, provider_id, upstream, case):
    answered, said = case
    upstream.will(answered)

    answer = admin.post(f"{root(acme)}/{provider_id}/test", headers=HTMX)

    page = answer.get_data(as_text=True)
    assert 200 == answer.status_code
    assert said in reading.text(answer)
    assert 1 == len(upstream.requests)
    assert not any(word in page for word in (upstream.url, str(upstream.port), PROVIDER_KEY, "<script>", "/v1/models"))


def test_an_upstream_that_is_not_there_is_said_to_be_away(acme, admin):
    made = providers.save(acme, "gone", kind="openai", base_url="http://127.0.0.1:1", api_key="")

    assert "cannot be reached" in reading.text(admin.post(f"{root(acme)}/{made}/test"))


@pytest.mark.parametrize("drip", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: "])
def test_an_upstream_that_keeps_one_waiting_is_given_up(acme, admin, monkeypatch, drip):
    monkeypatch.setattr(upstream_models, "LIMIT_S", 0.5)
    over = threading.Event()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_drip, args=(server, drip, over), daemon=True).start()
        made = providers.save(
            acme, "slow", kind="openai", base_url=f"http://127.0.0.1:{server.getsockname()[1]}", api_key=""
        )
        began = time.monotonic()
        answer = admin.post(f"{root(acme)}/{made}/test")
        took_s = time.monotonic() - began
        over.set()

    assert "did not answer within" in reading.text(answer)
    assert took_s < 2


def _drip(server, first, over):
    """Send one more letter of a header every tenth of a second, for longer than anybody may wait."""
    connection, _ = server.accept()
    with connection:
        connection.sendall(first)
        for _ in range(60):
            if over.wait(0.1):
                break
            connection.sendall(first and b"x")


def test_a_secret_of_another_installation_is_asked_for_again(app, acme, admin, upstream):
    mine = app.extensions["vault"]
    app.extensions["vault"] = Vault.of("another-secret-key-of-enough-length")
    provider_id = providers.save(acme, "mock", kind="openai", base_url=upstream.url, api_key=PROVIDER_KEY)
    app.extensions["vault"] = mine

    answer = admin.post(f"{root(acme)}/{provider_id}/test")

    assert "sealed with another SECRET_KEY" in reading.text(answer)
    assert [] == upstream.requests


def test_a_provider_that_models_use_stays(acme, admin, provider_id):
    make_model(acme, provider_id, "chat/large")
    address = f"{root(acme)}/{provider_id}"

    confirm, answer = admin.get(f"{address}/delete"), admin.post(f"{address}/delete")

    assert "It stays while models use it: chat/large" in reading.text(confirm)
    assert 409 == answer.status_code
    assert providers.get(acme, provider_id)
    assert "chat/large" in reading.text(admin.get(address))


def test_an_unused_provider_is_removed_with_its_secret(acme, admin, provider_id):
    answer = admin.post(f"{root(acme)}/{provider_id}/delete")

    assert (303, root(acme)) == (answer.status_code, answer.headers["Location"])
    assert [] == providers.all_of(acme)
    assert {} == credentials.last4(acme, [provider_id])


def test_a_file_managed_provider_is_tested_and_not_changed(app, upstream):
    made = providers.save(
        PLATFORM_ID, unique("file"), kind="openai", base_url=upstream.url, api_key=PROVIDER_KEY, managed_by="file"
    )
    browser = people.person(platform_role="admin").client(app)
    address, before = f"{root(PLATFORM_ID)}/{made}", providers.get(PLATFORM_ID, made)
    upstream.will(reply(200, LIST))

    page, tested = browser.get(address), browser.post(f"{address}/test")
    answers = [browser.post(f"{address}{end}", {"name": "x"}) for end in ("", "/delete")]

    assert "The configuration file manages this provider" in reading.text(page)
    assert "lists 3 models" in reading.text(tested)
    assert [409, 409] == [answer.status_code for answer in answers]
    assert before == providers.get(PLATFORM_ID, made)


def test_a_workspace_sees_that_the_platforms_accounts_exist_and_no_more(acme, admin):
    made = providers.save(
        PLATFORM_ID, "shared-account", kind="openai", base_url="http://hidden.example", api_key=PROVIDER_KEY
    )

    page = admin.get(f"{root(acme)}?of=platform")

    assert "shared-account" in reading.text(page)
    assert not re.search("hidden.example|cdef", page.get_data(as_text=True))
    assert [404, 404] == [admin.get(f"{root(where)}/{made}").status_code for where in (acme, PLATFORM_ID)]


CHANGES = [
    ("GET", "/new"),
    ("POST", ""),
    ("POST", "/{id}"),
    ("POST", "/{id}/test"),
    ("GET", "/{id}/delete"),
    ("POST", "/{id}/delete"),
]


def a_form():
    return {"new_id": new_id(), "name": "x", "kind": "openai", "base_url": "http://stub"}


@pytest.mark.parametrize(("method", "end"), CHANGES)
@pytest.mark.parametrize("role", ["viewer", "billing", "developer"])
def test_who_may_only_look_may_not_change(app, acme, role, method, end):
    made = providers.save(acme, "mock", kind="openai", base_url="http://127.0.0.1:1", api_key=PROVIDER_KEY)
    before = providers.all_of(acme)
    browser = people.member(acme, role).client(app)

    answer = browser.send(method, root(acme) + end.format(id=made), a_form())

    assert (403, 200) == (answer.status_code, browser.get(f"{root(acme)}/{made}").status_code)
    assert before == providers.all_of(acme)


@pytest.mark.parametrize(("method", "end"), [("GET", ""), ("GET", "/{id}"), *CHANGES])
def test_another_workspaces_providers_are_not_there(acme, admin, method, end):
    other = workspaces.create(unique("other"))
    theirs = providers.save(other, "mock", kind="openai", base_url="http://127.0.0.1:1", api_key=PROVIDER_KEY)
    before = providers.all_of(other)

    there = admin.send(method, root(other) + end.format(id=theirs), a_form())
    here = admin.send(method, root(acme) + end.format(id=theirs), a_form()) if "{id}" in end else there

    assert (404, 404) == (there.status_code, here.status_code)
    assert before == providers.all_of(other)
    assert [] == models.all_of(other)
