import json
from decimal import Decimal

import psycopg
import pytest
from argon2 import PasswordHasher
from sqlalchemy import text

from app import create_app
from app.application import applications, keys
from app.application.limits import Limits
from app.extensions import transaction
from app.model import models, price_book
from app.provider import providers
from app.units import PLATFORM_ID
from app.workspace import revisions, workspaces
from tests.cli.files import content
from tests.gateway_process import close_app

ECHO = "http://127.0.0.1:9901"
MANAGEMENT = "a-management-key-of-enough-length"


@pytest.fixture
def start(fresh_database, redis_url):
    """Run the real command on one database as a start of the server does; settings may differ between starts."""
    apps = []

    def run(echo_url=ECHO, **changes):
        app = create_app(fresh_database.settings(redis_url, **changes))
        apps.append(app)
        app.app_context().push()
        result = app.test_cli_runner().invoke(args=["bootstrap", "--echo-url", echo_url])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    yield run
    for app in apps:
        close_app(app)


def admin():
    with transaction(PLATFORM_ID) as session:
        return session.execute(text("select email, platform_role, password_hash from user_account")).all()


def test_a_first_start_makes_an_admin_whose_password_is_shown_once(start):
    first, second = start(), start()

    ((email, role, stored),) = admin()
    assert (email, role, first["admin_email"]) == ("admin@localhost", "admin", "admin@localhost")
    assert PasswordHasher().verify(stored, first["admin_password"])
    assert stored.startswith("$argon2id$")
    assert second["admin_password"] is None


def test_the_admin_may_be_named_by_the_settings(start):
    start(bootstrap_admin_email="Boss@Example.com", bootstrap_admin_password="a-password-of-mine")

    ((email, _, stored),) = admin()
    assert email == "boss@example.com"
    assert PasswordHasher().verify(stored, "a-password-of-mine")


def test_a_later_start_leaves_the_admins_password_alone(start):
    start()
    before = admin()

    start(bootstrap_admin_password="another-password")

    assert before == admin()


def test_a_first_start_makes_a_demo_that_answers_from_the_echo(start):
    first = start()

    demo = workspaces.by_name("demo").workspace_id
    provider, model = providers.by_name(PLATFORM_ID, "echo"), models.by_name(PLATFORM_ID, "echo")
    (key,) = keys.all_of(demo)
    assert ("demo", ("*",), key.key_id) == (first["workspace"], key.models, keys.owner_of(first["api_key"])[1])
    assert ("openai", f"{ECHO}/v1", "echo") == (provider.kind, provider.base_url, model.deployments[0].upstream_model)
    assert {"input": Decimal(0), "output": Decimal(0)} == price_book.current(PLATFORM_ID)[model.model_id]


def test_a_second_start_changes_nothing_and_shows_no_key(start, fresh_database):
    start(bootstrap_management_key=MANAGEMENT)
    before = content(fresh_database.owner_url)

    second = start(bootstrap_management_key=MANAGEMENT)

    assert (second["api_key"], second["workspace"], second["imported"]) == (None, None, {})
    assert before == content(fresh_database.owner_url)


def test_the_echo_follows_its_address(start):
    start()
    before = revisions.current()

    start("http://127.0.0.1:9902/")

    assert providers.by_name(PLATFORM_ID, "echo").base_url == "http://127.0.0.1:9902/v1"
    assert (before[0] + 1, before[1]) == revisions.current()


@pytest.mark.parametrize(
    ("echo_url", "environment"), [("none", "development"), (ECHO, "staging"), (ECHO, "production")]
)
def test_there_is_no_demo_without_an_echo_or_outside_development(start, echo_url, environment):
    first = start(echo_url, environment=environment)

    assert (first["api_key"], first["workspace"]) == (None, None)
    assert providers.all_of(PLATFORM_ID) == []
    assert [workspace.workspace_id for workspace in workspaces.all_of_platform()] == [PLATFORM_ID]


def test_there_is_no_demo_beside_a_workspace_that_is_there(start):
    start("none")
    workspaces.create("acme")

    assert start()["workspace"] is None
    assert workspaces.by_name("demo") is None


def test_the_management_key_follows_its_setting_and_calls_no_models(start):
    start(bootstrap_management_key=MANAGEMENT)
    start(bootstrap_management_key=MANAGEMENT + "-2")

    (key,) = keys.all_of(PLATFORM_ID)
    assert (key.kind, key.models, key.application_id) == ("management", (), None)
    assert (PLATFORM_ID, key.key_id) == keys.owner_of(MANAGEMENT + "-2")
    assert keys.owner_of(MANAGEMENT) is None


def test_a_provider_key_in_the_environment_becomes_a_provider_with_its_models(start, monkeypatch):
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-deepseek")
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-openrouter")

    first = start()

    provider = providers.by_name(PLATFORM_ID, "deepseek")
    assert (provider.kind, provider.base_url) == ("deepseek", "https://api.deepseek.com/v1")
    assert providers.holds(PLATFORM_ID, provider.provider_id, "sk-deepseek")
    assert {"deepseek", "openrouter"} == set(first["imported"])
    assert first["imported"]["openrouter"]["models"] > 300
    assert first["imported"]["deepseek"]["unpriced"] > 0
    assert models.by_name(PLATFORM_ID, "openrouter/openai/gpt-4o-mini")


def test_a_provider_that_is_there_is_left_alone(start, monkeypatch):
    start()
    providers.save(PLATFORM_ID, "groq", kind="openai", base_url="http://own", api_key="own")
    monkeypatch.setenv("GROQ_API_KEY", "sk-groq")

    second = start()

    assert second["imported"] == {}
    assert providers.by_name(PLATFORM_ID, "groq").base_url == "http://own"
    assert models.by_name(PLATFORM_ID, "groq/gemma2-9b-it") is None


def test_a_provider_key_that_cannot_be_sent_is_named_without_showing_it(start, monkeypatch):
    monkeypatch.setenv("XAI_API_KEY", "not a key")

    first = start()

    (warning,) = first["warnings"]
    assert warning.startswith("provider xai was not made")
    assert "not a key" not in warning
    assert first["workspace"] == "demo"


def test_limits_that_are_only_stored_are_named_at_every_start(start):
    start("none")
    acme = workspaces.create("acme")
    chatbot = applications.create(acme, "chatbot")
    keys.create(acme, chatbot, "ci", models=[], limits=Limits(parallel=3))

    assert start("none")["warnings"] == ["key acme/chatbot/ci: parallel is stored but not enforced yet"]


def test_no_secret_of_a_first_start_is_in_the_database(start, fresh_database, monkeypatch):
    monkeypatch.setenv("MISTRAL_API_KEY", "sk-mistral-secret")

    first = start(bootstrap_management_key=MANAGEMENT)

    everything = str(content(fresh_database.owner_url))
    for secret in (first["admin_password"], first["api_key"], MANAGEMENT, "sk-mistral-secret"):
        assert secret not in everything
        assert secret.encode().hex() not in everything


def test_a_first_start_that_fails_leaves_nothing_half_made(start, fresh_database):
    with psycopg.connect(fresh_database.owner_url) as connection:
        connection.execute("alter table key_index add constraint nothing_fits check (false)")
    before = content(fresh_database.owner_url)

    with pytest.raises(AssertionError):
        start()

    assert before == content(fresh_database.owner_url)
