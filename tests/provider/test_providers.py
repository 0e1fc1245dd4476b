import pytest
from sqlalchemy import text

from app.extensions import transaction, vault
from app.model import models
from app.provider import providers
from app.units import PLATFORM_ID
from app.workspace import revisions, workspaces
from app.workspace.names import Invalid, NotFound

pytestmark = pytest.mark.usefixtures("app")

SECRET = "sk-upstream-secret"


def save(name="mock", workspace_id=PLATFORM_ID, **changes):
    values = {"kind": "openai", "base_url": "http://stub/v1", "api_key": SECRET} | changes
    return providers.save(workspace_id, name, **values)


def sealed():
    with transaction(PLATFORM_ID) as session:
        return session.execute(text("select provider_id, sealed, last4 from credential")).all()


def test_the_secret_is_sealed_for_its_provider():
    provider_id = save()

    ((owner, stored, last4),) = sealed()
    assert (provider_id, "cret") == (owner, last4)
    assert SECRET.encode() not in stored
    assert vault().open(stored, provider_id.bytes) == SECRET


def test_saving_again_changes_the_same_account():
    first = save()

    second = save(kind="mistral", base_url="https://other/v1", timeouts={"idle_s": 3}, api_key="another")

    (found,) = providers.all_of(PLATFORM_ID)
    assert first == second == found.provider_id
    assert (found.kind, found.base_url, found.timeouts) == ("mistral", "https://other/v1", {"idle_s": 3})
    assert providers.holds(PLATFORM_ID, first, "another")
    assert len(sealed()) == 1


def test_saving_what_is_there_moves_no_revision():
    save()
    before = revisions.current()

    save()

    assert before == revisions.current()


@pytest.mark.parametrize(
    "change",
    [{"kind": "groq"}, {"base_url": "http://b"}, {"api_key": "b"}, {"api_key": ""}, {"timeouts": {"idle_s": 1}}],
)
def test_each_change_moves_the_catalogue_once(change):
    save()
    before = revisions.current()

    save(**change)

    assert (before[0] + 1, before[1]) == revisions.current()


def test_an_upstream_without_a_secret_has_no_credential():
    provider_id = save()

    save(api_key="")

    assert sealed() == []
    assert providers.holds(PLATFORM_ID, provider_id, "")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "@mock"}, "name"),
        ({"kind": "other"}, "kind"),
        ({"base_url": "ftp://stub"}, "base_url"),
        ({"base_url": "stub/v1"}, "base_url"),
        ({"base_url": "http://"}, "base_url"),
        ({"base_url": "http://stub:port"}, "base_url"),
        ({"base_url": "http://user:password@stub"}, "base_url"),
        ({"base_url": "http://user@stub"}, "base_url"),
        ({"base_url": "http://stub/#part"}, "base_url"),
        ({"base_url": "http://stub/#"}, "base_url"),
        ({"base_url": "http://stub/a b"}, "base_url"),
        ({"base_url": "http://stub/\r\nX-Header: 1"}, "base_url"),
        ({"base_url": "http://stüb"}, "base_url"),
        ({"api_key": "line\nbreak"}, "api_key"),
        ({"api_key": "nul\0"}, "api_key"),
        ({"api_key": "schlüssel"}, "api_key"),
        ({"api_key": "“curly”"}, "api_key"),
        ({"timeouts": {"read_s": 1}}, "timeouts"),
        ({"timeouts": {"idle_s": 0}}, "timeouts"),
        ({"timeouts": {"idle_s": "1"}}, "timeouts"),
        ({"timeouts": {"idle_s": True}}, "timeouts"),
        ({"timeouts": {"idle_s": float("nan")}}, "timeouts"),
    ],
)
def test_an_account_that_cannot_work_is_refused_when_saved(change, field):
    with pytest.raises(Invalid) as refused:
        save(**change)

    assert field == refused.value.field
    assert SECRET not in str(refused.value)
    assert providers.all_of(PLATFORM_ID) == []


def test_an_account_of_one_workspace_is_not_there_for_another():
    acme, other = workspaces.create("acme"), workspaces.create("other")
    provider_id = save(workspace_id=acme)

    assert providers.all_of(other) == []
    assert not providers.holds(other, provider_id, SECRET)
    with pytest.raises(NotFound):
        providers.delete(other, provider_id)
    assert providers.by_name(acme, "mock")


def test_an_account_in_use_is_not_deleted():
    provider_id = save()
    models.save(PLATFORM_ID, "m", [models.Deployment(provider_id=provider_id, upstream_model="m")])

    with pytest.raises(providers.InUse):
        providers.delete(PLATFORM_ID, provider_id)
    models.delete(PLATFORM_ID, models.by_name(PLATFORM_ID, "m").model_id)
    providers.delete(PLATFORM_ID, provider_id)

    assert providers.all_of(PLATFORM_ID) == []
    assert sealed() == []
