from datetime import UTC, datetime
from decimal import Decimal

import pytest

from app.application.limits import Limits
from app.cli import config_file
from app.cli.yaml_fields import InvalidFile
from tests.cli.files import PLAIN, VARIABLES, changed, keys_file

LONG = "a-secret-of-enough-length"


def read(text, variables=VARIABLES):
    return config_file.read(text, variables.get)


def problems(text):
    """What is wrong with a text, as people see it."""
    try:
        found = read(text).problems
    except InvalidFile as error:
        found = tuple(error.problems)
    return [f"{problem.line}: {problem.text}" for problem in sorted(found)]


def the_key(text):
    config = read(text)
    assert config.problems == ()
    return next(config.every_key())


def test_the_documented_example_is_read_whole():
    config = read(PLAIN)

    assert config.problems == ()
    assert (
        config.providers[0].name,
        config.providers[0].kind,
        config.providers[0].base_url,
        config.providers[0].api_key,
    ) == ("mock", "openai", "http://127.0.0.1:9900/v1", "sk-mock")
    assert {"input": Decimal("0.15"), "cache_read": Decimal("0.075"), "output": Decimal("0.60")} == config.models[
        0
    ].price
    assert (
        config.workspaces[0].name,
        config.workspaces[0].timezone,
        config.workspaces[0].applications[0].cost_centre,
    ) == ("acme", "Europe/Berlin", "4711")


def test_the_documented_key_is_read_whole():
    key = the_key(PLAIN)

    limits = {"requests_per_min": 600, "tokens_per_min": 100000, "parallel": 50}
    assert Limits(**limits, budget_usd=Decimal(10), budget_period="month") == key.limits
    assert ("acme/chatbot/ci", VARIABLES["ACME_KEY"], ("gpt-4o-mini",), True) == (
        key.path,
        key.secret,
        key.models,
        key.active,
    )
    assert datetime(2026, 12, 31, 23, tzinfo=UTC) == key.expires_at


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "name: mock",
            "name: =mock",
            "2: providers[0].name: must not begin with '=', which a spreadsheet takes for a formula",
        ),
        (
            "kind: openai",
            "kind: other",
            "2: providers[0].kind: must be one of openai, mistral, groq, deepseek, xai, openrouter, not 'other'",
        ),
        ("kind: openai, ", "", "2: providers[0].kind: is missing"),
        ("http://127", "ftp://127", "2: providers[0].base_url: must start with http:// or https://"),
        ("http://127", "http://u:p@127", "2: providers[0].base_url: must not hold a user or password; use api_key"),
        ('/v1"', '/v1#x"', "2: providers[0].base_url: must not hold a fragment (#)"),
        (
            "${MOCK_KEY}",
            "a\\nb",
            "2: providers[0].api_key: must be ASCII without spaces, line breaks or control characters",
        ),
        ("${MOCK_KEY}", "${MISSING}", "2: providers[0].api_key: the variable MISSING is not set"),
        (
            "${MOCK_KEY}",
            "${MOCK KEY}",
            "2: providers[0].api_key: write ${NAME} for a variable, or $${ for the signs themselves",
        ),
        ('"${MOCK_KEY}"', "12345", '2: providers[0].api_key: must be text; quote it: "12345"'),
        ('"${MOCK_KEY}"', "[a]", "2: providers[0].api_key: must be one value, not a list or fields"),
        ("api_key:", "apikey:", "2: providers[0].apikey: is no field here; did you mean 'api_key'?"),
        (
            '_KEY}"}',
            '_KEY}", timeouts: {idle: 1}}',
            "2: providers[0].timeouts.idle: is no field here; did you mean 'idle_s'?",
        ),
        (
            '_KEY}"}',
            '_KEY}", timeouts: {idle_s: 0}}',
            "2: providers[0].timeouts: idle_s must be a number of seconds above 0, at most 86400",
        ),
        ('_KEY}"}', '_KEY}", timeouts: {idle_s: "1"}}', "2: providers[0].timeouts.idle_s: must be a number, not '1'"),
        ("name: mock,", "name: mock, name: other,", "2: providers[0].name: stands here twice"),
        ("models:\n", "model:\n", "3: model: is no field here; did you mean 'models'?"),
        (
            "[{provider: mock, model: gpt-4o-mini, weight: 1, priority: 0}]",
            "[]",
            "5: models[0].deployments: needs at least one deployment",
        ),
        (
            "weight: 1",
            "weight: -1",
            "5: models[0].deployments[0].weight: must be a whole number from 0 to 1000000, not -1",
        ),
        ("weight: 1", "weight: 1.5", "5: models[0].deployments[0].weight: must be a whole number, not '1.5'"),
        ("weight: 1", 'weight: "1"', "5: models[0].deployments[0].weight: must be a whole number, not '1'"),
        ("weight: 1", "weight: 0x10", "5: models[0].deployments[0].weight: must be a whole number, not '0x10'"),
        (
            "priority: 0",
            "priority: -1",
            "5: models[0].deployments[0].priority: must be a whole number from 0 to 1000000, not -1",
        ),
        ("provider: mock, ", "", "5: models[0].deployments[0].provider: is missing"),
        ('"0.15"', "0.15", '6: models[0].price.input: money is exact; quote it: "0.15"'),
        ('"0.15"', "15e-2", "6: models[0].price.input: must be an amount such as \"0.15\", not '15e-2'"),
        ('"0.15"', "1:30", "6: models[0].price.input: must be an amount such as \"0.15\", not '1:30'"),
        ('"0.15"', "010", "6: models[0].price.input: must be an amount such as \"0.15\", not '010'"),
        ('"0.15"', '"0.1234567"', "6: models[0].price.input: has more than 6 decimals"),
        ('"0.15"', '"-1"', "6: models[0].price.input: must be from 0 to 1000000 dollars per million tokens"),
        ('"0.15"', '"NaN"', "6: models[0].price.input: must be an amount such as \"0.15\", not 'NaN'"),
        ("cache_read:", "cached:", "6: models[0].price.cached: is no field here; did you mean 'cache_read'?"),
        (
            '{input: "0.15", cache_read: "0.075", output: "0.60"}',
            "{}",
            '6: models[0].price: names no meter; write {input: "0", output: "0"} for a free model',
        ),
        (
            "Europe/Berlin",
            "Europe/Berlim",
            "9: workspaces[0].timezone: there is no time zone 'Europe/Berlim'; use an IANA name such as Europe/Berlin",
        ),
        ("- name: chatbot", "- name: no", '11: workspaces[0].applications[0].name: must be text; quote it: "no"'),
        ('"4711"', "4711", '12: workspaces[0].applications[0].cost_centre: must be text; quote it: "4711"'),
        (
            '"4711"',
            '"=1"',
            "12: workspaces[0].applications[0].cost_centre: must not begin with '=', which a spreadsheet takes for a formula",
        ),
        (
            "${ACME_KEY}",
            "short",
            "14: workspaces[0].applications[0].keys[0].secret: must have 20 to 512 characters, not 5",
        ),
        ("models: [gpt-4o-mini], ", "", "14: workspaces[0].applications[0].keys[0].models: is missing"),
        (
            "models: [gpt-4o-mini]",
            "models: gpt-4o-mini",
            "14: workspaces[0].applications[0].keys[0].models: must be a list",
        ),
        (
            "models: [gpt-4o-mini]",
            "models: [1]",
            "14: workspaces[0].applications[0].keys[0].models: must be a list of texts",
        ),
        (
            "models: [gpt-4o-mini]",
            'models: ["*", a]',
            '14: workspaces[0].applications[0].keys[0].models: "*" is every model and stands alone',
        ),
        (
            "state: active",
            "state: paused",
            "14: workspaces[0].applications[0].keys[0].state: must be active or revoked, not 'paused'",
        ),
        (
            "parallel: 50",
            "parallel: -1",
            "14: workspaces[0].applications[0].keys[0].limits.parallel: must be a whole number from 0 (nothing) to 2147483647; leave it out for no limit",
        ),
        (
            "parallel: 50",
            "parallel: many",
            "14: workspaces[0].applications[0].keys[0].limits.parallel: must be a whole number, not 'many'",
        ),
        (
            "parallel: 50",
            "paralel: 50",
            "14: workspaces[0].applications[0].keys[0].limits.paralel: is no field here; did you mean 'parallel'?",
        ),
        (
            'usd: "10.00"',
            "usd: 10.50",
            '14: workspaces[0].applications[0].keys[0].budget.usd: money is exact; quote it: "10.50"',
        ),
        ('usd: "10.00", ', "", "14: workspaces[0].applications[0].keys[0].budget.usd: is missing"),
        (", period: month", "", "14: workspaces[0].applications[0].keys[0].budget.period: is missing"),
        (
            "period: month",
            "period: moon",
            "14: workspaces[0].applications[0].keys[0].budget: period must be one of hour, day, week, month, total",
        ),
        (
            "2027-01-01",
            "2027-02-30",
            "14: workspaces[0].applications[0].keys[0].expires_at: must be like 2027-01-01 or 2027-01-01T10:00:00+01:00, not '2027-02-30'",
        ),
        (
            "2027-01-01",
            "soon",
            "14: workspaces[0].applications[0].keys[0].expires_at: must be like 2027-01-01 or 2027-01-01T10:00:00+01:00, not 'soon'",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(old, new, said):
    assert [said] == problems(changed(old, new))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1: the file is empty; to remove everything, write `workspaces: []`"),
        ("# nothing\n", "1: the file is empty; to remove everything, write `workspaces: []`"),
        ("{}", "1: the file holds nothing; to remove everything, write `workspaces: []`"),
        ("- a\n", "1: the file: must be fields with values"),
        ("providers:\n", "1: providers: must be a list"),
        ("providers: [a]\n", "1: providers[0]: must be fields with values"),
        ("a: b\n c: d\n", "2: this is no YAML: mapping values are not allowed here"),
        ("providers: [\n", "2: this is no YAML: expected the node content, but found '<stream end>'"),
        ("a: {b: ${NAME}}\n", "1: this is no YAML: expected ',' or '}', but got '{'; put \"${NAME}\" in quotes"),
        ("models: []\n\x07", "2: holds a character that YAML does not allow"),
        ("models: []\n---\nmodels: []\n", "2: this is no YAML: but found another document"),
        ("models: []\nmodels: []\n", "2: models: stands here twice"),
    ],
)
def test_what_is_no_such_file_is_named_with_its_line(text, said):
    assert said in problems(text)[0]


def test_every_problem_is_said_at_once():
    text = changed("kind: openai", "kind: other").replace('"0.15"', "0.15").replace("Europe/Berlin", "Nowhere")

    assert [problem.split(":")[0] for problem in problems(text)] == ["2", "6", "9"]


def test_the_same_name_twice_is_refused_with_both_lines():
    assert problems(keys_file("{name: a, models: []}", "{name: a, models: []}")) == ["8: key 'a' is on line 7 already"]
    twice = changed("models:\n", "models:\n  - {name: gpt-4o-mini, deployments: [{provider: mock, model: x}]}\n")
    assert problems(twice) == ["5: model 'gpt-4o-mini' is on line 4 already"]


def test_two_keys_of_one_secret_are_refused_and_both_are_named():
    text = keys_file(f"{{name: a, models: [], secret: {LONG}}}", f"{{name: b, models: [], secret: {LONG}}}")

    assert problems(text) == ["8: key acme/app/b has the secret of key acme/app/a (line 7); each needs its own"]


def test_variables_are_filled_in_anywhere_and_never_twice():
    text = changed("name: chatbot", 'name: "a-${A}-b"').replace("2027-01-01", '"${DAY}"').replace("600", '"${RATE}"')
    config = read(text, VARIABLES | {"A": "x${B}x", "DAY": "2028-02-29", "RATE": "7"})

    key = next(config.every_key())
    assert config.problems == ()
    assert config.workspaces[0].applications[0].name == "a-x${B}x-b"
    assert (7, datetime(2028, 2, 28, 23, tzinfo=UTC)) == (key.limits.requests_per_min, key.expires_at)


def test_two_dollar_signs_are_the_signs_themselves():
    assert (
        read(changed("name: chatbot", 'name: "costs $${MONEY}, $5"')).workspaces[0].applications[0].name
        == "costs ${MONEY}, $5"
    )


def test_every_missing_variable_is_named_and_no_other_problem_is_made_of_it():
    text = PLAIN.replace("2027-01-01", '"${DAY}"').replace('"10.00"', '"${SUM}"').replace("600", '"${RATE}"')

    said = [problem.rpartition("variable ")[2] for problem in problems(text)]

    assert said == ["SUM is not set", "DAY is not set", "RATE is not set"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2027-07-01", datetime(2027, 6, 30, 22, tzinfo=UTC)),
        ("2027-07-01T12:30:00", datetime(2027, 7, 1, 10, 30, tzinfo=UTC)),
        ("2027-07-01 12:30", datetime(2027, 7, 1, 10, 30, tzinfo=UTC)),
        ("2027-07-01T12:30:00Z", datetime(2027, 7, 1, 12, 30, tzinfo=UTC)),
        ('"2027-07-01T12:30:00-05:00"', datetime(2027, 7, 1, 17, 30, tzinfo=UTC)),
    ],
)
def test_a_time_without_an_offset_is_the_workspaces(written, expected):
    assert expected == the_key(changed("2027-01-01", written)).expires_at


def test_a_limit_left_out_is_none_and_zero_is_nothing():
    assert Limits() == the_key(keys_file("{name: a, models: []}")).limits
    assert (
        Limits(requests_per_min=0) == the_key(keys_file("{name: a, models: [], limits: {requests_per_min: 0}}")).limits
    )
    assert tuple(the_key(keys_file(f"{{name: a, models: {m}}}")).models for m in ("[]", '["*"]')) == ((), ("*",))


def test_a_whole_dollar_needs_no_quotes_and_no_price_is_unpriced():
    assert Decimal(3) == read(changed('"0.15"', "3")).models[0].price["input"]
    without = changed('    price: {input: "0.15", cache_read: "0.075", output: "0.60"}\n', "")
    assert read(without).models[0].price == {}


def test_deadlines_are_numbers_of_seconds():
    text = changed('_KEY}"}', '_KEY}", timeouts: {connect_s: 2, idle_s: 0.5}}')

    assert read(text).providers[0].timeouts == {"connect_s": 2, "idle_s": 0.5}


@pytest.mark.parametrize(
    ("tier", "problem"),
    [
        ('{service_tier: slow, price: {input: "1"}}', "must be one of standard, batch, flex, priority"),
        ('{price: {input: "1"}}', "name a tier that has its price elsewhere"),
        ("{service_tier: batch}", "price: is missing"),
        ('{service_tier: batch, price: {input: "0.1234567"}}', "has more than 6 decimals"),
    ],
)
def test_a_tier_that_the_book_cannot_hold_is_a_problem_of_the_file(tier, problem):
    price = '    price: {input: "0.15", cache_read: "0.075", output: "0.60"}\n'

    problems = read(changed(price, f"{price}    tiers: [{tier}]\n")).problems

    assert any(problem in str(found) for found in problems), problems
