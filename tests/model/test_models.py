import pytest
from sqlalchemy import text

from app.extensions import transaction
from app.model import models
from app.model.models import Deployment
from app.provider import providers
from app.units import PLATFORM_ID
from app.workspace import revisions, workspaces
from app.workspace.names import Invalid, NotFound

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
def provider_id():
    return providers.save(PLATFORM_ID, "mock", kind="openai", base_url="http://stub", api_key="")


def deployment_ids():
    with transaction(PLATFORM_ID) as session:
        return dict(session.execute(text("select upstream_model, deployment_id from deployment")).all())


def test_a_deployment_that_stays_keeps_its_id(provider_id):
    one, two = (Deployment(provider_id=provider_id, upstream_model=name) for name in ("one", "two"))
    first = models.save(PLATFORM_ID, "m", [one, two])
    before = deployment_ids()

    second = models.save(PLATFORM_ID, "m", [Deployment(provider_id=provider_id, upstream_model="one", weight=5)])

    assert first == second
    assert {"one": before["one"]} == deployment_ids()
    assert models.by_name(PLATFORM_ID, "m").deployments[0].weight == 5


def test_saving_what_is_there_moves_no_revision_in_any_order(provider_id):
    one, two = (Deployment(provider_id=provider_id, upstream_model=name) for name in ("one", "two"))
    models.save(PLATFORM_ID, "m", [one, two])
    before = revisions.current()

    models.save(PLATFORM_ID, "m", [two, one])
    unchanged = revisions.current()
    models.save(PLATFORM_ID, "m", [one])

    assert before == unchanged
    assert (before[0] + 1, before[1]) == revisions.current()


@pytest.mark.parametrize("name", ["gpt-4o-mini", "openrouter/meta-llama/llama-3:free", "~anthropic/claude"])
def test_names_with_slashes_and_colons_work(provider_id, name):
    models.save(PLATFORM_ID, name, [Deployment(provider_id=provider_id, upstream_model="@cf/meta/llama")])

    assert [name] == [model.name for model in models.all_of(PLATFORM_ID)]


@pytest.mark.parametrize("change", [{"weight": -1}, {"priority": -1}, {"weight": 10**7}, {"upstream_model": "a\nb"}])
def test_a_deployment_that_cannot_be_stored_is_refused(provider_id, change):
    values = {"provider_id": provider_id, "upstream_model": "m"} | change

    with pytest.raises(Invalid):
        models.save(PLATFORM_ID, "m", [Deployment(**values)])

    assert models.all_of(PLATFORM_ID) == []


def test_the_same_place_twice_is_refused(provider_id):
    with pytest.raises(Invalid, match="twice"):
        models.save(PLATFORM_ID, "m", [Deployment(provider_id=provider_id, upstream_model="m")] * 2)


def test_an_alias_of_one_workspace_is_not_there_for_another():
    acme, other = workspaces.create("acme"), workspaces.create("other")
    provider_id = providers.save(acme, "mock", kind="openai", base_url="http://stub", api_key="")
    model_id = models.save(acme, "m", [Deployment(provider_id=provider_id, upstream_model="m")])

    assert models.all_of(other) == []
    with pytest.raises(NotFound):
        models.delete(other, model_id)
    assert models.by_name(acme, "m")
