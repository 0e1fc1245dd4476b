"""A change of SECRET_KEY, with the one before it at hand and without: BC-086."""

import secrets
import subprocess
import sys

import psycopg
import pytest
from sqlalchemy import LargeBinary, text

from app import create_app
from app.application import keys
from app.config import Settings
from app.crypto import UNNUMBERED_PEPPER, Keys, Vault
from app.extensions import Base, transaction
from app.units import PLATFORM_ID, new_id, utc_now
from app.workspace import channels, invitations, workspaces
from app.workspace.members import By
from tests import people
from tests.console import reading
from tests.factories import PROVIDER_KEY, Key, make_key, make_provider, unique
from tests.gateway_process import ROOT, close_app, eventually

OLD = "a-secret-for-tests-of-enough-length"
NEW, THIRD = "another-secret-for-tests-long-enough", "a-third-secret-for-tests-long-enough"
UPSTREAM = "http://127.0.0.1:1/v1"
RESEALED = {
    ("channel", "sealed_secret"),
    ("credential", "sealed"),
    ("identity_provider", "sealed_secret"),
    ("user_account", "totp_sealed"),
}


@pytest.fixture
def use(app):
    """Have the app run with other secrets, newest first."""

    def change(newest, *previous):
        app.extensions["vault"] = Vault.of(newest, previous)

    return change


@pytest.fixture
def acme(app):
    assert app.testing
    return workspaces.create(unique("acme"))


def rotate(app):
    result = app.test_cli_runner().invoke(args=["rotate-secrets"])
    assert result.exit_code == 0, result.output
    return result.output


def sql(statement, **values):
    with transaction(PLATFORM_ID) as session:
        result = session.execute(text(statement), values)
        return result.all() if result.returns_rows else []


def sealed_things(acme):
    """One of each kind of sealed secret; give how to open them."""
    provider_id, idp_id = make_provider(acme, UPSTREAM), new_id()
    person = people.member(acme, "owner")
    vault = Vault.of(OLD)
    sql(
        "insert into identity_provider (provider_id, name, kind, authority, tenant, client_id, sealed_secret)"
        " values (:id, 'corp', 'entra', 'https://login.test', 't', 'c', :sealed)",
        id=idp_id,
        sealed=vault.seal("idp-secret", idp_id.bytes),
    )
    sql(
        "update user_account set totp_sealed = :sealed where user_id = :id",
        id=person.user_id,
        sealed=vault.seal("totp-secret", person.user_id.bytes),
    )
    return provider_id, idp_id, person


def opened(acme, provider_id, idp_id, person, vault):
    with transaction(acme) as session:
        statement = text("select sealed from credential where provider_id = :id")
        credential = session.execute(statement, {"id": provider_id}).scalar_one()
    (idp,) = sql("select sealed_secret from identity_provider where provider_id = :id", id=idp_id)
    (totp,) = sql("select totp_sealed from user_account where user_id = :id", id=person.user_id)
    return [
        vault.open(credential, provider_id.bytes),
        vault.open(idp[0], idp_id.bytes),
        vault.open(totp[0], person.user_id.bytes),
    ]


def test_every_sealed_column_is_sealed_anew():
    sealed = {
        (table.name, column.name)
        for table in Base.metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, LargeBinary) and "sealed" in column.name
    }

    assert RESEALED == sealed


def test_bc_086_with_both_keys_all_is_sealed_anew_and_the_old_one_is_not_needed(app, use, acme):
    things = sealed_things(acme)
    use(NEW, OLD)

    said, again = rotate(app), rotate(app)

    assert "Sealed anew: 3. Up to date before: 0.\n" in said
    assert "Sealed anew: 0. Up to date before: 3.\n" in again
    assert [PROVIDER_KEY, "idp-secret", "totp-secret"] == opened(acme, *things, Vault.of(NEW))


def test_a_channels_secret_is_sealed_anew(app, use, acme):
    channel_id = new_id()
    wish = channels.Wish(name="hook", target="https://hooks.example.test/", events=("budget",))
    secret = channels.create(acme, "webhook", wish, channel_id=channel_id, by=None)
    use(NEW, OLD)

    assert "Sealed anew: 1. Up to date before: 0.\n" in rotate(app)

    with transaction(acme) as session:
        sealed = session.execute(text("select sealed_secret from channel")).scalar_one()
    assert secret == Vault.of(NEW).open(bytes(sealed), channel_id.bytes)


def test_what_no_key_opens_is_named_and_stays(app, use, acme):
    things = sealed_things(acme)
    name = workspaces.get(acme).name
    use(NEW)

    said = rotate(app)

    assert "Sealed anew: 0. Up to date before: 0.\n" in said
    assert f"  workspace {name}, provider provider-" in said
    assert "  identity provider corp: client secret" in said
    assert f"  account {things[2].email}: two-factor secret" in said
    assert [PROVIDER_KEY, "idp-secret", "totp-secret"] == opened(acme, *things, Vault.of(OLD))


def test_bc_137_sealing_anew_is_written_down(app, fresh_database, use, acme):
    sealed_things(acme)
    use(NEW, OLD)

    rotate(app)

    asked = "select workspace_id, object_name, after from audit_outbox where action = 'secrets.reseal' order by 2"
    with psycopg.connect(fresh_database.owner_url) as owner:
        rows = owner.execute(asked).fetchall()
    assert [(acme, "providers", {"count": 1}), (PLATFORM_ID, "sign-in", {"count": 2})] == rows


def test_keys_of_an_earlier_secret_are_counted_by_workspace(app, use, acme):
    make_api_key(acme)
    use(NEW, OLD)
    make_api_key(acme)
    name = workspaces.get(acme).name

    with_both = rotate(app)
    use(NEW)
    with_one = rotate(app)

    assert "API keys made with an earlier SECRET_KEY. They work while it is" in with_both
    assert f"  workspace {name}: 1\n" in with_both
    assert "API keys made with a SECRET_KEY that is not given. They do not work." in with_one
    assert f"  workspace {name}: 1\n" in with_one


def make_api_key(workspace_id):
    return keys.create(workspace_id, None, unique("key"), models=["*"], kind="management")


def test_hashes_carry_the_number_of_their_pepper(app, use, acme):
    make_api_key(acme)
    sql("update key_index set pepper_version = :first", first=UNNUMBERED_PEPPER)
    use(NEW, OLD)
    make_api_key(acme)

    rotate(app)

    found = {version for (version,) in sql("select pepper_version from key_index")}
    assert {Keys.of(OLD).pepper_version, Keys.of(NEW).pepper_version} == found


def test_a_secret_of_an_earlier_pepper_is_taken(use, acme):
    made = make_api_key(acme)
    use(NEW, OLD)

    assert (acme, made.key_id) == keys.owner_of(made.secret)
    with pytest.raises(keys.SecretTaken):
        keys.create(acme, None, "again", models=["*"], kind="management", secret=made.secret)


def test_who_is_signed_in_stays_so_and_forms_of_before_are_taken(app, use, acme):
    browser = people.member(acme, "owner").client(app)
    use(NEW, OLD)

    answer = browser.post(f"/w/{acme}/settings", {"name": unique("renamed"), "timezone": "UTC"})
    page = browser.get(f"/w/{acme}/settings")
    browser.post("/sign-out")

    assert (303, 200) == (answer.status_code, page.status_code)
    assert 303 == browser.get(f"/w/{acme}/settings").status_code


def test_without_the_key_before_it_sessions_end(app, use, acme):
    browser = people.member(acme, "owner").client(app)
    use(NEW)

    answer = browser.get(f"/w/{acme}/settings")

    assert (303, True) == (answer.status_code, answer.headers["Location"].startswith("/sign-in"))


def test_a_form_for_nobody_of_before_is_taken(app, use):
    visitor, email = people.Browser(app.test_client()), people.person(password=people.PASSWORD).email
    token = visitor._visitors_token()
    use(NEW, OLD)

    answer = visitor.post("/sign-in", {"email": email, "password": people.PASSWORD, "csrf_token": token})

    assert 303 == answer.status_code


def test_an_invitation_of_before_is_open(use, acme):
    owner = people.member(acme, "owner")
    token = invitations.create(
        acme, "jane@corp.test", "viewer", by=By(user_id=owner.user_id, role="owner"), now=utc_now()
    )
    use(NEW, OLD)

    assert "jane@corp.test" == invitations.find(acme, token, now=utc_now()).email


def test_bc_086_the_providers_page_says_which_secrets_cannot_be_opened(app, use, acme):
    shut, admin = make_provider(acme, UPSTREAM), people.member(acme, "admin")
    use(NEW)
    open_one, browser = make_provider(acme, UPSTREAM), people.sign_in(admin.user_id, admin.email).client(app)

    listed = reading.text(browser.get(f"/w/{acme}/providers"))
    pages = [reading.text(browser.get(f"/w/{acme}/providers/{one}")) for one in (shut, open_one)]

    assert 1 == listed.count("cannot be opened") - listed.count("marked below cannot be opened")
    assert "they were sealed with another SECRET_KEY" in listed
    assert [True, False] == ["The stored secret cannot be opened" in page for page in pages]


# As processes.


def restart(gateway, **environment):
    """Start the gateway's programs again with other secrets; its servers go on."""
    for process in (gateway.web, gateway.worker):
        process.terminate()
    for process in (gateway.web, gateway.worker):
        assert process.wait(30) == 0
    gateway.environment.pop("SECRET_KEY_PREVIOUS", None)
    gateway.environment |= environment
    close_app(gateway.app)
    gateway.app = create_app(Settings.read(gateway.environment))
    gateway.start()


def another_key(key):
    """One more key of the same application, made under the secret that is in force now."""
    with key.gateway.services():
        new = keys.create(key.workspace_id, key.application_id, unique("key"), models=["*"])
    made = Key(
        key.gateway,
        new.secret,
        key.workspace_id,
        key.application_id,
        new.key_id,
        key.model,
        key.model_id,
        key.provider_id,
    )
    eventually(lambda: made.chat().status_code != 401)
    return made


def command(gateway, *words):
    ran = [sys.executable, "-m", "flask", "--app", "wsgi", *words]
    return subprocess.run(ran, cwd=ROOT, env=gateway.environment, capture_output=True, text=True, check=True).stdout


def test_bc_086_a_change_of_the_secret_key_over_real_processes(start_gateway, upstream):
    gateway = start_gateway()
    first, old, new = make_key(gateway, upstream), gateway.environment["SECRET_KEY"], secrets.token_hex(32)
    assert 200 == first.chat().status_code

    restart(gateway, SECRET_KEY=new)
    second, seen = another_key(first), len(upstream.requests)
    without = second.chat()
    assert (503, "gateway_unavailable") == (without.status_code, without.headers["x-gateway-error"])
    assert 401 == first.chat().status_code
    assert seen == len(upstream.requests)

    restart(gateway, SECRET_KEY=new, SECRET_KEY_PREVIOUS=old)
    assert [200, 200] == [one.chat().status_code for one in (first, second)]
    assert "Sealed anew: 1. Up to date before: 0." in command(gateway, "rotate-secrets")

    restart(gateway, SECRET_KEY=new)
    assert [401, 200] == [one.chat().status_code for one in (first, second)]
    assert {PROVIDER_KEY} == {one.header("authorization").removeprefix("Bearer ") for one in upstream.requests}


def test_proxies_that_could_not_open_a_secret_can_once_it_is_sealed_anew(start_gateway, upstream):
    gateway = start_gateway()
    first, old, new = make_key(gateway, upstream), gateway.environment["SECRET_KEY"], secrets.token_hex(32)
    restart(gateway, SECRET_KEY=new)
    second = another_key(first)
    assert 503 == second.chat().status_code

    gateway.environment["SECRET_KEY_PREVIOUS"] = old
    command(gateway, "rotate-secrets")

    eventually(lambda: second.chat().status_code == 200, 5)
