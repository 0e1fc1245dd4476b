"""`flask management-key`: a key for programs, shown once, that opens the management API and nothing else."""

from datetime import timedelta

from app.application import keys
from app.auth import management_keys
from app.units import PLATFORM_ID, utc_now
from app.workspace import workspaces
from tests.factories import unique


def run(app, *arguments):
    return app.test_cli_runner().invoke(args=["management-key", *arguments])


def test_the_secret_that_is_said_opens_the_workspace(app):
    name = unique("acme")
    acme = workspaces.create(name)

    answer = run(app, name, "reports", "--days", "30")

    secret, (key,) = answer.output.strip(), keys.all_of(acme)
    assert (0, "reports", "management", ()) == (answer.exit_code, key.name, key.kind, key.models)
    assert management_keys.find(secret, now=utc_now()).workspace_id == acme
    assert management_keys.find(secret, now=utc_now() + timedelta(days=31)) is None


def test_the_platforms_key_is_made_alike(app):
    platform = workspaces.get(PLATFORM_ID).name

    secret = run(app, platform, unique("all")).output.strip()

    assert management_keys.find(secret, now=utc_now()).is_platforms


def test_what_cannot_be_made_is_said_in_a_sentence(app):
    name = unique("acme")
    workspaces.create(name)
    run(app, name, "reports")

    refused = [run(app, *arguments) for arguments in (("nowhere", "x"), (name, "reports"), (name, ""))]

    assert [1, 1, 1] == [answer.exit_code for answer in refused]
    assert "Error: There is no open workspace 'nowhere'." in refused[0].output
    assert "there is a key 'reports' already" in refused[1].output
