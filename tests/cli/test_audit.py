"""What the commands do is in the audit trail, under the file's name or as the system's."""

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.cli.files import PLAIN, VARIABLES, changed


@pytest.fixture
def trail(fresh_database):
    """Read what was written down since the last time."""

    def read():
        with psycopg.connect(fresh_database.owner_url, autocommit=True, row_factory=dict_row) as owner:
            found = owner.execute('select * from audit_outbox order by "position"').fetchall()
            owner.execute("delete from audit_outbox")
        return found

    return read


@pytest.fixture
def run(app, tmp_path, monkeypatch):
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)

    def invoke(text, *options):
        (tmp_path / "gateway.yaml").write_text(text)
        result = app.test_cli_runner().invoke(args=["apply", str(tmp_path / "gateway.yaml"), *options])
        assert result.exit_code == 0, result.output

    return invoke


def test_bc_137_what_a_file_changes_is_written_down_under_its_name(run, trail):
    run(PLAIN)
    made = trail()
    run(changed("requests_per_min: 600", "requests_per_min: 60"))
    (update,) = trail()

    assert {("file", "gateway.yaml")} == {(one["actor_kind"], one["actor_name"]) for one in [*made, update]}
    assert [
        "provider.create",
        "model.create",
        "price.update",
        "workspace.create",
        "application.create",
        "key.create",
    ] == [one["action"] for one in made]
    assert ("key.update", "ci") == (update["action"], update["object_name"])
    assert ({"limit_requests_per_min": 600}, {"limit_requests_per_min": 60}) == (update["before"], update["after"])
    for secret in VARIABLES.values():
        assert secret not in repr(made)


def test_a_file_that_is_applied_again_and_a_dry_run_leave_nothing(run, trail):
    run(PLAIN, "--dry-run")
    dry = trail()
    run(PLAIN)
    trail()
    run(PLAIN)

    assert [] == dry
    assert [] == trail()


def test_bc_137_a_first_start_is_the_systems(app, trail, monkeypatch):
    monkeypatch.setenv("MISTRAL_API_KEY", "mistral-key-0123456789-abcdef")

    result = app.test_cli_runner().invoke(args=["bootstrap", "--echo-url", "http://127.0.0.1:9901"])

    made = trail()
    assert result.exit_code == 0, result.output
    assert {("system", "bootstrap")} == {(one["actor_kind"], one["actor_name"]) for one in made}
    assert {"account.create", "provider.create", "catalogue.import", "key.create"} <= {one["action"] for one in made}
    (imported,) = [one for one in made if one["action"] == "catalogue.import"]
    assert 1 < len(imported["after"]["models"])
    assert "mistral-key-0123456789" not in repr(made)
