from datetime import timedelta

import pytest
from sqlalchemy import text

from app.application import applications, keys, rotation, workload_keys
from app.application.keys import Limits
from app.application.tokens import Token
from app.auth import identity_providers
from app.auth.callers import Callers
from app.extensions import transaction
from app.logging import entries
from app.units import PLATFORM_ID, new_id, utc_now
from app.workspace import workspaces
from app.workspace.names import Invalid
from tests import directory, people
from tests.console import reading
from tests.factories import unique

HTMX = {"HX-Request": "true"}
PROGRAM = "6f1cc0d3-4d4c-4b7d-8f9b-0a2c3d4e5f60"


@pytest.fixture
def chatbot(acme):
    return applications.create(acme, "chatbot")


@pytest.fixture
def developer(app, acme):
    return people.member(acme, "developer").client(app)


@pytest.fixture
def entra(app):
    assert app.testing
    return directory.provider(name="Corp directory", token_audience="api://gateway")


def root(acme, chatbot):
    return f"/w/{acme}/applications/{chatbot}/tokens"


def accept(browser, acme, chatbot, **typed):
    """Fill the form in as a person does."""
    form = reading.form(browser.get(f"{root(acme, chatbot)}/new"), root(acme, chatbot))
    return browser.post(root(acme, chatbot), form.values(**{"name": "jobs", "value": "Models.Call"} | typed))


def test_tokens_with_an_app_role_are_accepted_for_an_application(acme, chatbot, developer, entra):
    answer = accept(developer, acme, chatbot, requests_per_min="60")

    (key,) = keys.all_of(acme)
    wanted = Token(provider_id=entra, tenant=directory.TENANT, claim="app_role", value="Models.Call")
    assert (303, f"/w/{acme}/keys/{key.key_id}") == (answer.status_code, answer.headers["Location"])
    assert ("workload", "jobs", chatbot, wanted) == (key.kind, key.name, key.application_id, key.token)
    assert Limits(requests_per_min=60) == key.limits
    (entry,) = entries.listed(acme, entries.Wanted(action="key.create"), after=None, limit=9)
    after = entries.get(acme, entry.audit_id).after
    assert ("app_role", "Models.Call") == (after["token_claim"], after["accepts"])


@pytest.mark.usefixtures("entra")
def test_the_key_is_shown_with_what_stands_for_it(acme, chatbot, developer):
    accept(developer, acme, chatbot)
    (key,) = keys.all_of(acme)

    pages = [f"/w/{acme}/keys", f"/w/{acme}/keys?q=models.call", f"/w/{acme}/applications/{chatbot}"]
    texts = [reading.text(developer.get(page)) for page in pages]
    own = developer.get(f"/w/{acme}/keys/{key.key_id}")

    assert all("jobs" in text and "Models.Call" in text for text in texts)
    assert all("Entra ID token" in text for text in texts)
    assert all(word in reading.text(own) for word in ("Models.Call", "Corp directory", directory.TENANT))
    assert not any("rotate" in link for link in reading.links(own))


@pytest.mark.usefixtures("entra")
def test_a_client_id_is_written_as_tokens_have_it(acme, chatbot, developer):
    accept(developer, acme, chatbot, claim="client", value=PROGRAM.upper())

    (key,) = keys.all_of(acme)
    assert ("client", PROGRAM) == (key.token.claim, key.token.value)


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ({"value": ""}, "must have 1 to 200 characters"),
        ({"claim": "client", "value": "my-program"}, "must be the client id"),
        ({"claim": "sub"}, "must be one of app_role, client"),
        ({"issuer": ""}, "choose whose tokens are meant"),
        ({"issuer": f"{new_id()}/{directory.TENANT}"}, "choose whose tokens are meant"),
        ({"name": ""}, "must have 1 to 200 characters"),
        ({"models": "some"}, "tick at least one model"),
        ({"requests_per_min": "-1"}, "must be a whole number"),
    ],
)
@pytest.mark.usefixtures("entra")
def test_bc_109_a_problem_stands_beside_its_field_in_a_fragment(acme, chatbot, developer, typed, problem):
    form = reading.form(developer.get(f"{root(acme, chatbot)}/new"), root(acme, chatbot))

    given = form.values(**{"name": "jobs", "value": "Models.Call"} | typed)
    answer = developer.post(root(acme, chatbot), given, headers=HTMX)

    assert answer.status_code == 422
    assert not reading.is_whole_page(answer)
    assert problem in reading.text(answer)
    assert keys.all_of(acme) == []


def test_only_tenants_that_may_come_are_offered_and_only_with_an_audience(acme, chatbot, developer):
    tenants = [str(new_id()), str(new_id())]
    several = {"tenant": "organizations", "allowed_tenants": tenants, "token_audience": "api://gateway"}
    directory.provider(name="Of several", **several)
    directory.provider(name="Without an audience")
    directory.disable(directory.provider(name="Disabled", token_audience="api://gateway"))
    issuer = {"kind": "oidc", "tenant": None, "authority": "https://issuer.example.test"}
    directory.provider(name="Keycloak", token_audience="gateway", **issuer)

    page = reading.text(developer.get(f"{root(acme, chatbot)}/new"))

    assert all(f"Of several, {tenant}" in page for tenant in tenants)
    assert "Keycloak, https://issuer.example.test" in page
    assert "Without" not in page
    assert "Disabled" not in page


def test_without_an_identity_provider_the_page_says_who_can_help(acme, chatbot, developer):
    page = developer.get(f"{root(acme, chatbot)}/new")

    assert "No identity provider gives tokens for this gateway" in reading.text(page)


@pytest.mark.usefixtures("entra")
def test_tokens_that_stand_for_a_key_of_another_workspace_cannot_be_taken(app, acme, chatbot, developer):
    elsewhere = workspaces.create(unique("elsewhere"))
    there = applications.create(elsewhere, "theirs")
    accept(people.member(elsewhere, "developer").client(app), elsewhere, there)

    answer = accept(developer, acme, chatbot)

    assert answer.status_code == 422
    assert "stands for another key already" in reading.text(answer)
    assert "theirs" not in reading.text(answer)
    assert keys.all_of(acme) == []


@pytest.mark.usefixtures("entra")
def test_bc_112_the_same_form_sent_twice_makes_one_key(acme, chatbot, developer):
    form = reading.form(developer.get(f"{root(acme, chatbot)}/new"), root(acme, chatbot))
    given = form.values(name="jobs", value="Models.Call")

    first, second = (developer.post(root(acme, chatbot), given) for _ in range(2))

    assert first.headers["Location"] == second.headers["Location"]
    assert len(keys.all_of(acme)) == 1


@pytest.mark.usefixtures("entra")
def test_an_archived_application_accepts_nothing_new(acme, chatbot, developer):
    applications.archive(acme, chatbot, now=utc_now())

    answers = [developer.get(f"{root(acme, chatbot)}/new"), developer.post(root(acme, chatbot), {"new_id": new_id()})]

    assert [409, 409] == [answer.status_code for answer in answers]
    assert "tokens/new" not in str(reading.links(developer.get(f"/w/{acme}/applications/{chatbot}")))


@pytest.mark.usefixtures("entra")
def test_it_is_revoked_like_any_key_and_its_tokens_are_free_again(acme, chatbot, developer):
    accept(developer, acme, chatbot)
    (key,) = keys.all_of(acme)

    developer.post(f"/w/{acme}/keys/{key.key_id}/revoke")
    accept(developer, acme, chatbot, name="jobs again")

    assert ["revoked", "active"] == [one.state for one in keys.all_of(acme)]


def test_it_never_gets_a_secret(acme, chatbot, developer, entra):
    token = Token(provider_id=entra, tenant=directory.TENANT, claim="app_role", value="Models.Call")
    key_id = workload_keys.create(acme, chatbot, "jobs", token, models=["*"])
    revision = keys.get(acme, key_id).revision
    overlap = {"overlap": timedelta(0), "revision": revision, "now": utc_now()}

    answers = [developer.send(method, f"/w/{acme}/keys/{key_id}/rotate", {}) for method in ("GET", "POST")]

    assert [409, 409] == [answer.status_code for answer in answers]
    with pytest.raises(Invalid, match="a token stands for it"):
        rotation.rotate(acme, key_id, **overlap)
    with pytest.raises(Invalid, match="a token stands for it"):
        keys.replace_secret(acme, key_id, "a-secret-of-ones-own-0123456789")
    assert not keys.has_secret(acme, key_id)


def test_a_change_of_its_identity_provider_reaches_the_proxies(acme, chatbot, entra):
    token = Token(provider_id=entra, tenant=directory.TENANT, claim="app_role", value="Models.Call")
    workload_keys.create(acme, chatbot, "jobs", token, models=["*"])
    issuer = f"https://localhost:1/{directory.TENANT}/v2.0"
    callers, seen = Callers(), 0

    def trusted():
        nonlocal seen
        with transaction(PLATFORM_ID) as session:
            rows = session.execute(text("select * from keys_since(:seen)"), {"seen": seen}).mappings().all()
        seen = max((row["revision"] for row in rows), default=seen)
        callers.update([dict(row) for row in rows])
        return len(list(callers.trusts(issuer)))

    before = trusted()
    identity_providers.disable(entra, now=utc_now())
    disabled = trusted()
    identity_providers.enable(entra)

    assert (1, 0, 1) == (before, disabled, trusted())


@pytest.mark.parametrize("role", ["viewer", "billing"])
@pytest.mark.usefixtures("entra")
def test_who_may_only_look_may_not_accept_tokens(app, acme, chatbot, role):
    browser = people.member(acme, role).client(app)

    answers = [browser.get(f"{root(acme, chatbot)}/new"), browser.post(root(acme, chatbot), {"new_id": new_id()})]

    assert [403, 403] == [answer.status_code for answer in answers]
    assert keys.all_of(acme) == []


@pytest.mark.usefixtures("entra")
def test_another_workspaces_application_is_not_there(acme, developer):
    theirs = workspaces.create(unique("theirs"))
    application_id = applications.create(theirs, "theirs")

    for place in (theirs, acme):
        answers = [
            developer.get(f"{root(place, application_id)}/new"),
            developer.post(root(place, application_id), {"new_id": new_id()}),
        ]
        assert [404, 404] == [answer.status_code for answer in answers]
