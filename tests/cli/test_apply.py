import re
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from sqlalchemy import text

from app.application import applications, keys
from app.application.limits import Limits
from app.extensions import redis, transaction
from app.model import models, price_book
from app.model.price_book import Slot
from app.provider import providers
from app.units import PLATFORM_ID, utc_now
from app.workspace import revisions, workspaces
from tests.cli.files import PLAIN, VARIABLES, changed, content, keys_file

CREATED = [
    "create provider mock",
    "create model gpt-4o-mini",
    "create workspace acme",
    "create application acme/chatbot",
    "create key acme/chatbot/ci",
    "warning: key acme/chatbot/ci: tokens_per_min, parallel, budget are stored but not enforced yet",
]
WARNING = CREATED[-1]
NOTHING = "workspaces: []\n"
SECRET = "secret: a-secret-of-enough-length"


@pytest.fixture(autouse=True)
def variables(monkeypatch):
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def apply(app, tmp_path):
    """Apply a text with the real command: what it printed, line by line; it has to succeed unless it may fail."""

    def run(content, *options, fails=False):
        file = tmp_path / "gateway.yaml"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        result = app.test_cli_runner().invoke(args=["apply", str(file), *options])
        assert int(fails) == result.exit_code, result.output
        return result.output.replace(f"{file}", "gateway.yaml").splitlines()

    return run


@pytest.fixture
def rows(fresh_database):
    return lambda: content(fresh_database.owner_url)


def the_key(name="ci"):
    return next(key for key in keys.all_of(workspaces.by_name("acme").workspace_id) if key.name == name)


def test_the_documented_example_is_applied_whole(apply):
    assert apply(PLAIN) == CREATED

    (deployment,) = models.by_name(PLATFORM_ID, "gpt-4o-mini").deployments
    provider = providers.by_name(PLATFORM_ID, "mock")
    assert (provider.provider_id, "gpt-4o-mini") == (deployment.provider_id, deployment.upstream_model)
    assert providers.holds(PLATFORM_ID, provider.provider_id, VARIABLES["MOCK_KEY"])
    limits = {"requests_per_min": 600, "tokens_per_min": 100000, "parallel": 50}
    assert Limits(**limits, budget_usd=Decimal(10), budget_period="month") == the_key().limits
    assert the_key().key_id == keys.owner_of(VARIABLES["ACME_KEY"])[1]


def test_everything_a_file_makes_is_marked_as_the_files(apply, rows):
    apply(PLAIN)

    for table in ("provider", "model", "application", "api_key"):
        assert all(",file," in row for row in rows()[table])


def test_no_secret_of_a_file_is_in_the_database(apply, rows):
    apply(PLAIN)

    everything = str(rows())
    assert "chatbot" in everything
    for secret in VARIABLES.values():
        assert secret not in everything
        assert secret.encode().hex() not in everything


def test_a_second_apply_changes_nothing_and_says_so(apply, rows):
    apply(PLAIN)
    before = rows()

    assert apply(PLAIN) == ["nothing to change", WARNING]

    assert before == rows()


def test_a_dry_run_says_the_same_and_changes_nothing(apply, rows):
    before, announced = rows(), redis().get(revisions.REDIS_KEY)

    assert [*CREATED, "dry run: nothing was changed"] == apply(PLAIN, "--dry-run")

    assert before == rows()
    assert announced == redis().get(revisions.REDIS_KEY)


def test_each_apply_that_changes_something_moves_each_revision_once_and_announces_it(apply):
    before = revisions.current()

    apply(PLAIN)
    first = revisions.current()
    apply(changed('"0.60"', '"0.70"'))

    assert (before[0] + 1, before[1] + 1) == first
    assert (first[0] + 1, first[1]) == revisions.current()
    assert f"{first[0] + 1}.{first[1]}".encode() == redis().get(revisions.REDIS_KEY)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"0.15"', '"0.20"', "update model gpt-4o-mini: price input 0.15 → 0.20"),
        ('cache_read: "0.075", ', "", "update model gpt-4o-mini: price cache_read 0.075 → none"),
        (
            "weight: 1",
            "weight: 2",
            "update model gpt-4o-mini: deployments [mock/gpt-4o-mini] → [mock/gpt-4o-mini weight 2]",
        ),
        (
            "127.0.0.1:9900",
            "127.0.0.1:9901",
            "update provider mock: base_url http://127.0.0.1:9900/v1 → http://127.0.0.1:9901/v1",
        ),
        ("${MOCK_KEY}", "sk-other", "update provider mock: api_key changed"),
        ('_KEY}"}', '_KEY}", timeouts: {idle_s: 5}}', "update provider mock: idle_s none → 5"),
        ("Europe/Berlin", "UTC", "update workspace acme: timezone Europe/Berlin → UTC"),
        (
            "Europe/Berlin",
            'Europe/Berlin\n    po_number: "PO 42"',
            "update workspace acme: po_number none → PO 42",
        ),
        ('"4711"', '"4712"', "update application acme/chatbot: cost_centre 4711 → 4712"),
        ("models: [gpt-4o-mini]", 'models: ["*"]', "update key acme/chatbot/ci: models [gpt-4o-mini] → [*]"),
        ("600", "0", "update key acme/chatbot/ci: requests_per_min 600 → 0"),
        ("requests_per_min: 600, ", "", "update key acme/chatbot/ci: requests_per_min 600 → none"),
        ('"10.00"', '"12.5"', "update key acme/chatbot/ci: budget_usd 10.00 → 12.50"),
        ("${ACME_KEY}", "another-key-0123456789", "update key acme/chatbot/ci: secret changed"),
        ("state: active", "state: revoked", "revoke key acme/chatbot/ci"),
    ],
)
def test_each_change_is_one_line_and_is_made(apply, old, new, said):
    apply(PLAIN)

    assert said == apply(changed(old, new))[0]

    assert apply(changed(old, new))[0] == "nothing to change"


def test_a_file_without_a_purchase_order_number_leaves_the_consoles_and_an_empty_one_clears_it(apply):
    named = changed("Europe/Berlin", 'Europe/Berlin\n    po_number: "PO 42"')
    apply(named)
    acme = workspaces.by_name("acme").workspace_id
    assert "PO 42" == workspaces.po_number(acme)

    assert "nothing to change" == apply(PLAIN)[0]
    assert "PO 42" == workspaces.po_number(acme)
    apply(changed("PO 42", "", named))

    assert workspaces.po_number(acme) is None


def test_an_expiry_is_said_as_an_instant(apply):
    apply(PLAIN)

    assert (
        apply(changed(", expires_at: 2027-01-01", ""))[0]
        == "update key acme/chatbot/ci: expires_at 2026-12-31 23:00:00+00:00 → none"
    )


def test_a_changed_price_keeps_the_old_one_for_the_calls_before(apply):
    apply(PLAIN)
    before = utc_now()

    apply(changed('"0.15"', '"0.20"'))

    statement = text("select unit_price, lower(valid), upper(valid) from price where meter = 'input' order by valid")
    with transaction(PLATFORM_ID) as session:
        (old, first, end), (new, start, last) = session.execute(statement).all()
    assert (Decimal("0.15"), Decimal("0.20")) == (old, new)
    assert (None, end, None) == (first, start, last)
    assert timedelta(0) <= start - before < timedelta(seconds=30)


def test_a_key_without_a_secret_gets_one_that_is_shown_once(apply):
    *_, line = apply(keys_file('{name: ci, models: ["*"]}'))

    secret = re.fullmatch(r"secret of key acme/app/ci, shown this once: (gw_\w+)", line)[1]
    assert the_key().key_id == keys.owner_of(secret)[1]
    assert apply(keys_file('{name: ci, models: ["*"]}')) == ["nothing to change"]


def test_a_dry_run_shows_no_secret(apply):
    assert "gw_" not in str(apply(keys_file('{name: ci, models: ["*"]}'), "--dry-run"))


def test_a_key_may_be_made_revoked(apply):
    assert "create key acme/app/ci (revoked)" in apply(keys_file("{name: ci, models: [], state: revoked}"))

    assert the_key().state == "revoked"


def test_what_a_file_no_longer_has_is_pruned_and_said(apply):
    apply(PLAIN)

    said = apply(NOTHING)

    assert said == [
        "revoke key acme/chatbot/ci: no longer in the file",
        "archive application acme/chatbot: no longer in the file",
        "archive workspace acme: no longer in the file",
        "delete model gpt-4o-mini: no longer in the file",
        "delete provider mock: no longer in the file",
    ]
    assert apply(NOTHING) == ["nothing to change"]
    assert (the_key().state, workspaces.by_name("acme").archived_at is not None) == ("revoked", True)


def test_prices_of_a_pruned_model_stay_for_the_calls_that_were_made(apply):
    apply(PLAIN)

    apply(NOTHING)

    assert len(next(iter(price_book.current(PLATFORM_ID).values()))) == 3


def test_what_a_file_has_again_is_the_same_as_before(apply):
    apply(PLAIN)
    before = the_key()
    apply(NOTHING)

    said = apply(PLAIN)

    assert said[2:5] == ["revive workspace acme", "revive application acme/chatbot", "reinstate key acme/chatbot/ci"]
    assert before == the_key()
    assert before.key_id == keys.owner_of(VARIABLES["ACME_KEY"])[1]


def test_a_renamed_key_keeps_its_secret(apply):
    apply(keys_file(f"{{name: old, models: [], {SECRET}}}"))

    said = apply(keys_file(f"{{name: new, models: [], {SECRET}}}"))

    assert said == ["revoke key acme/app/old: no longer in the file", "create key acme/app/new"]
    assert the_key("new").key_id == keys.owner_of(SECRET.split()[1])[1]


def test_a_key_that_lost_its_secret_to_another_gets_a_new_one_when_it_is_back(apply):
    apply(keys_file(f"{{name: old, models: [], {SECRET}}}"))
    apply(keys_file(f"{{name: new, models: [], {SECRET}}}"))

    said = apply(keys_file(f"{{name: new, models: [], {SECRET}}}", "{name: old, models: []}"))

    assert said[:2] == ["update key acme/app/old: secret changed", "reinstate key acme/app/old"]
    assert said[2].startswith("secret of key acme/app/old, shown this once: gw_")


def test_rows_made_elsewhere_are_refused_by_name(apply, rows):
    provider_id = providers.save(PLATFORM_ID, "mock", kind="openai", base_url="http://stub", api_key="")
    models.save(PLATFORM_ID, "gpt-4o-mini", [models.Deployment(provider_id=provider_id, upstream_model="m")])
    workspaces.create("acme")
    before = rows()

    said = apply(PLAIN, fails=True)

    assert said == [
        "gateway.yaml:2: provider 'mock' was not made by a file, so it is not changed here; rename one of the two",
        "gateway.yaml:4: model 'gpt-4o-mini' was not made by a file, so it is not changed here; rename one of the two",
        "gateway.yaml:8: workspace 'acme' was not made by a file, so it is not changed here; rename one of the two",
        "Error: gateway.yaml was not applied; nothing was changed.",
    ]
    assert before == rows()


def test_applications_and_keys_made_elsewhere_in_a_files_workspace_are_refused_by_name(apply):
    apply(changed("      - name: chatbot", "      - name: other"))
    acme = workspaces.by_name("acme").workspace_id
    applications.create(acme, "chatbot")
    keys.create(acme, applications.by_name(acme, "other").application_id, "second", models=[])

    by_hand = "not made by a file"
    assert by_hand in apply(PLAIN, fails=True)[0]
    assert (
        "key 'acme/other/second' was " + by_hand
        in apply(changed("chatbot", "other").replace("name: ci", "name: second"), fails=True)[0]
    )


def test_rows_made_elsewhere_are_never_pruned_and_keep_what_they_use(apply):
    apply(PLAIN)
    provider, acme = providers.by_name(PLATFORM_ID, "mock"), workspaces.by_name("acme").workspace_id
    models.save(PLATFORM_ID, "own", [models.Deployment(provider_id=provider.provider_id, upstream_model="m")])
    by_hand = keys.create(acme, applications.by_name(acme, "chatbot").application_id, "own", models=["own"])

    said = apply(NOTHING)

    assert said == [
        "revoke key acme/chatbot/ci: no longer in the file",
        "delete model gpt-4o-mini: no longer in the file",
        "note: application acme/chatbot stays: a key made elsewhere uses it",
        "note: workspace acme stays: application chatbot is used elsewhere",
        "note: provider mock stays: model own, made elsewhere, uses it",
    ]
    assert ("active", by_hand.key_id) == (the_key("own").state, the_key("own").key_id)


def test_names_that_are_not_there_are_refused_with_their_lines(apply):
    text = changed("provider: mock", "provider: mok").replace("models: [gpt-4o-mini]", "models: [gpt-5]")

    assert apply(text, fails=True)[:2] == [
        "gateway.yaml:5: there is no provider 'mok', in this file or made elsewhere",
        "gateway.yaml:14: key acme/chatbot/ci: there is no model 'gpt-5', in this file or made elsewhere",
    ]


def test_names_that_the_file_is_about_to_prune_are_not_there(apply):
    apply(PLAIN)
    text = PLAIN.replace("providers:\n  - {name: mock,", "providers:\n  - {name: other,")

    assert apply(text, fails=True)[0] == "gateway.yaml:5: there is no provider 'mock', in this file or made elsewhere"


def test_providers_and_models_made_elsewhere_may_be_used(apply):
    provider_id = providers.save(PLATFORM_ID, "own", kind="openai", base_url="http://stub", api_key="")
    models.save(PLATFORM_ID, "own", [models.Deployment(provider_id=provider_id, upstream_model="m")])

    apply(changed("provider: mock", "provider: own").replace("models: [gpt-4o-mini]", "models: [own]"))

    assert the_key().models == ("own",)


def test_a_secret_of_a_key_elsewhere_is_refused_and_both_are_named(apply):
    other = workspaces.create("other")
    theirs = applications.create(other, "theirs")
    keys.create(other, theirs, "first", models=[], secret=VARIABLES["ACME_KEY"])

    assert (
        apply(PLAIN, fails=True)[0]
        == "gateway.yaml:14: key acme/chatbot/ci has the secret of key other/theirs/first; each needs its own"
    )


def test_problems_of_the_file_and_of_its_names_are_said_together_in_order(apply, rows):
    before = rows()
    text = changed("kind: openai", "kind: other").replace("provider: mock", "provider: mok").replace("UTC", "x")

    said = apply(text, fails=True)

    assert [line.split(": ")[0] for line in said[:-1]] == ["gateway.yaml:2", "gateway.yaml:5"]
    assert before == rows()


def test_a_failure_in_the_middle_leaves_nothing(apply, rows, fresh_database):
    with psycopg.connect(fresh_database.owner_url) as connection:
        connection.execute("alter table key_index add constraint nothing_fits check (false)")
    before = rows()

    said = apply(PLAIN, fails=True)

    assert said[-1].startswith("Error: the database refused")
    assert before == rows()


def test_with_the_database_away_the_files_own_problems_are_still_said(apply, servers, fresh_database):
    with servers.away(fresh_database):
        broken = apply(changed("kind: openai", "kind: other"), fails=True)
        whole = apply(PLAIN, fails=True)

    assert broken[0].startswith("gateway.yaml:2: providers[0].kind")
    assert whole == ["Error: the database does not answer; nothing was changed."]


def test_a_file_that_is_not_utf8_is_refused_with_its_line(apply):
    assert apply(b"models: []\n# \xff\n", fails=True)[0] == "gateway.yaml:2: is not UTF-8 text"


def test_a_byte_order_mark_is_no_problem(apply):
    assert apply(b"\xef\xbb\xbf" + NOTHING.encode()) == ["nothing to change"]


def test_a_new_time_zone_reaches_the_proxies_with_the_keys(apply):
    plain = changed(", expires_at: 2027-01-01", "")
    apply(plain)
    known = revisions.current()[1]

    assert (
        "update workspace acme: timezone Europe/Berlin → Asia/Kathmandu"
        == apply(changed("Europe/Berlin", "Asia/Kathmandu", plain))[0]
    )

    statement = text("select timezone from keys_since(:known)")
    with transaction(PLATFORM_ID) as session:
        assert list(session.scalars(statement, {"known": known})) == ["Asia/Kathmandu"]


def test_a_file_of_a_thousand_keys_is_applied_in_reasonable_time(apply):
    before, since = revisions.current(), utc_now()

    apply(keys_file(*(f"{{name: key-{n}, models: [], secret: a-secret-of-enough-length-{n}}}" for n in range(1000))))

    assert utc_now() - since < timedelta(seconds=60)
    assert before[1] + 1 == revisions.current()[1]


TIERS = """    tiers:
      - {context_over: 200000, price: {input: "0.30", output: "1.20"}}
      - {service_tier: batch, price: {input: "0.075"}}
"""


def with_tiers(tiers=TIERS):
    price = next(line for line in PLAIN.splitlines(keepends=True) if line.lstrip().startswith("price:"))
    return PLAIN.replace(price, price + tiers)


def test_tiers_are_rows_of_their_own_and_end_when_the_file_no_longer_has_them(apply):
    apply(PLAIN)
    (model_id,) = price_book.current(PLATFORM_ID)

    said = apply(with_tiers())
    tiers = price_book.current_tiers(PLATFORM_ID)[model_id]

    assert any("price over 200000 input" in line for line in said), said
    assert {"input": Decimal("0.075")} == tiers[Slot(service_tier="batch")]
    assert {"input": Decimal("0.3"), "output": Decimal("1.2")} == tiers[Slot(context_over=200_000)]
    assert "nothing to change" == apply(with_tiers())[0]
    apply(PLAIN)
    assert {Slot()} == set(price_book.current_tiers(PLATFORM_ID)[model_id])
