"""The same numbers everywhere: page, CSV of the table, CSV of every call, API and the ledger's own rows."""

import csv
import io
import itertools
from collections import defaultdict
from datetime import timedelta
from decimal import Decimal

import pytest

from app.billing import ranking
from app.billing.dimensions import DIMENSIONS, IDS
from app.console.wording import exact
from app.units import zone
from app.wire.usage import METERS
from app.workspace import workspaces
from tests import people
from tests.api.v1.management import program
from tests.billing import scenes
from tests.billing.books import NOON, call
from tests.billing.conftest import books  # noqa: F401 - a fixture
from tests.console import reading
from tests.factories import unique

SPAN = {"from": str((NOON - timedelta(days=2)).date()), "to": str((NOON + timedelta(days=2)).date())}
EVERY = (*DIMENSIONS, "tag:team")
PAIRS = [(one,) for one in EVERY] + list(itertools.combinations(EVERY, 2))
COUNTS = ("requests", "failed", "unpriced", "provisional", "estimated")


@pytest.fixture
def scene(app, books):  # noqa: F811
    assert app.testing
    return scenes.many_sided(books)


@pytest.fixture
def ask(app, scene):
    """The API, asked by a key of the scene's workspace."""
    own = program(app, scene.workspace_id)

    def ask(**query):
        answer = own.get("/usage", SPAN | query)
        assert 200 == answer.status_code, answer.json
        return answer.json

    return ask


@pytest.fixture
def payer(app, scene):
    return people.member(scene.workspace_id, "billing").client(app)


def value_of(row, dimension, facts):
    """What a row of the ledger has in a dimension, as a text."""
    if dimension == "member":
        return facts[row["key_id"]][0]
    if dimension in ("cost_centre", "tag:team"):
        return facts[row["application_id"]][dimension == "tag:team"]
    return str(row[f"{dimension}_id" if dimension in IDS else {"status": "outcome"}.get(dimension, dimension)])


def counted(rows):
    return {
        "requests": len(rows),
        "failed": sum(row["outcome"] not in ("done", "unsettled") for row in rows),
        "unpriced": sum(row["billed_cost"] is None for row in rows),
        "provisional": sum(row["state"] == "provisional" for row in rows),
        "estimated": sum(row["usage_source"] == "estimated" for row in rows),
        **{f"{meter}_tokens": sum(row[meter] for row in rows) for meter in METERS},
        "cost": scenes.total_cost(rows),
    }


def expected(books, scene, groups):  # noqa: F811
    found = defaultdict(list)
    for row in books.rows():
        found[tuple(value_of(row, group, scene.facts) for group in groups)].append(row)
    return {key: counted(rows) for key, rows in found.items()}


def of_api(line, groups):
    key = tuple(line[group]["id"] if group in IDS else line[group] for group in groups)
    tokens = {f"{meter}_tokens": line["tokens"][meter] for meter in METERS}
    return key, {name: line[name] for name in COUNTS} | tokens | {"cost": Decimal(line["billed_cost"] or 0)}


def of_csv(row, groups):
    key = tuple(row[f"{group}_id" if group in IDS else group] for group in groups)
    numbers = {name: int(row[name]) for name in (*COUNTS, *(f"{meter}_tokens" for meter in METERS))}
    return key, numbers | {"cost": Decimal(row["billed_cost"] or 0)}


def rows_of(answer):
    assert 200 == answer.status_code
    with answer:
        return list(csv.DictReader(io.StringIO(answer.get_data().decode("utf-8-sig"), newline="")))


def address(scene, end=""):
    return f"/w/{scene.workspace_id}/usage{end}"


def test_the_numbers_agree_by_every_two_dimensions(books, scene, payer, ask):  # noqa: F811
    whole = counted(books.rows())
    for groups in PAIRS:
        query = SPAN | dict(zip(("group", "and"), groups, strict=False))
        truth = expected(books, scene, groups)

        api = ask(group_by=",".join(groups), limit=1000)
        file = rows_of(payer.get(address(scene, ".csv"), query_string=query | {"for": "machine"}))
        page = payer.get(address(scene), query_string=query)

        assert truth == dict(of_api(line, groups) for line in api["data"]), groups
        assert truth == dict(of_csv(row, groups) for row in file), groups
        assert (whole["requests"], whole["cost"]) == (api["total"]["requests"], Decimal(api["total"]["billed_cost"]))
        assert f"All {len(truth)}" in reading.text(page), groups
        assert exact(whole["cost"]) in {given.get("title") for _, given in reading.attributes(page)}, groups


@pytest.mark.parametrize("period", ["hour", "day", "month"])
def test_the_numbers_agree_by_time_in_the_workspaces_zone(books, scene, payer, ask, period):  # noqa: F811
    local = zone("Asia/Kathmandu")
    shape = {"hour": "%Y-%m-%d %H:00 %Z", "day": "%Y-%m-%d", "month": "%Y-%m"}[period]
    found = defaultdict(list)
    for row in books.rows():
        found[row["occurred_at"].astimezone(local).strftime(shape)].append(row)
    truth = {(name,): counted(rows) for name, rows in found.items()}

    api = ask(group_by=period)
    file = rows_of(payer.get(address(scene, ".csv"), query_string=SPAN | {"group": period, "for": "machine"}))

    assert "Asia/Kathmandu" == api["timezone"]
    assert truth == dict(of_api(line, [period]) for line in api["data"] if line["requests"])
    assert truth == dict(of_csv(row, [period]) for row in file if row["requests"] != "0")


def test_every_line_can_be_followed_to_the_calls_that_it_counts(scene, payer, ask):
    for group in EVERY:
        for line in ask(group_by=group)["data"]:
            (value,), numbers = of_api(line, [group])
            name, told = ("tag", f"team:{value}") if group == "tag:team" else (group, value or "-")

            narrowed = ask(group_by="key", **{name: told})
            calls = rows_of(payer.get(address(scene, "/calls.csv"), query_string=SPAN | {name: told, "for": "machine"}))

            assert numbers["requests"] == narrowed["total"]["requests"] == len(calls), (group, value)
            assert numbers["cost"] == sum(Decimal(row["billed_cost"] or 0) for row in calls), (group, value)


def test_a_pair_is_read_page_by_page_without_gaps(ask):
    first = ask(group_by="key,status", limit=7)
    pages = [first]
    while pages[-1]["next"]:
        pages.append(ask(group_by="key,status", limit=7, after=pages[-1]["next"]))

    lines = [line for page in pages for line in page["data"]]
    assert first["count"] == len(lines) == len({(line["key"]["id"], line["status"]) for line in lines})
    assert lines == ask(group_by="key,status", limit=1000)["data"]
    assert len(pages) > 2


def test_the_days_before_stand_beside_the_days_asked_for(books, scene, payer, ask):  # noqa: F811
    early = NOON - timedelta(days=5)
    facts = list(scene.facts)
    books.put(*(call(scene.workspace_id, at=early, application_id=facts[0], key_id=facts[1]) for _ in range(3)))
    books.take()

    api = ask(group_by="application", compare="before")
    page = payer.get(address(scene), query_string=SPAN | {"group": "application", "compare": "before"})
    file = rows_of(payer.get(address(scene, ".csv"), query_string=SPAN | {"group": "application", "compare": "before"}))

    assert (3, "2026-11-03", "2026-11-07") == tuple(api["before"][name] for name in ("requests", "from", "to"))
    before = {line["application"]["name"]: line["before"]["requests"] for line in api["data"]}
    assert {"one": 3, "two": 0, "three": 0} == before
    assert before == {row["application"]: int(row["requests_before"]) for row in file}
    assert "Compared with 2026-11-03 to 2026-11-07" in reading.text(page)


REFUSED = [
    ({"group_by": "colour"}, "group_by"),
    ({"group_by": "model,model"}, "group_by"),
    ({"group_by": "model,key,status"}, "group_by"),
    ({"group_by": "day,model"}, "group_by"),
    ({"group": "model"}, "group"),
    ({"colour": "red"}, "colour"),
    ({"model": "not an id"}, "model"),
    ({"tag": "team"}, "tag"),
    ({"from": "yesterday"}, "from"),
    ({"to": "2026-11-01"}, "to"),
    ({"group_by": "hour", "to": "2026-12-01"}, "to"),
    ({"tz": "UTC"}, "tz"),
    ({"compare": "after"}, "compare"),
    ({"limit": "0"}, "limit"),
    ({"limit": "1001"}, "limit"),
    ({"limit": "000001001"}, "limit"),
    ({"limit": "201", "interval": "day", "group_by": "key"}, "limit"),
    ({"limit": "198", "interval": "hour", "group_by": "key", "from": "2026-11-08", "to": "2026-11-12"}, "limit"),
    ({"interval": "week"}, "interval"),
    ({"interval": "day", "group_by": "day"}, "interval"),
    ({"interval": "hour", "to": "2026-12-01"}, "to"),
    ({"from": "2024-01-01"}, "to"),
    ({"from": "2026-02-30"}, "from"),
    ({"period": "today"}, "period"),
    ({"cost_centre": "x" * 201}, "cost_centre"),
    ({"from": ["2026-11-08", "2026-11-09"]}, "from"),
    ({"after": "~"}, "after"),
    ({"from": "", "to": "", "period": "ever"}, "period"),
]


def test_what_is_not_understood_is_refused_and_named(app):
    own = program(app, workspaces.create(unique("acme"), timezone="Asia/Kathmandu"))

    for query, param in REFUSED:
        answer = own.get("/usage", SPAN | query)

        assert (400, param) == (answer.status_code, answer.json["error"]["param"]), query
        assert f"'{param}'" in answer.json["error"]["message"]


def test_a_refusal_says_what_to_do(app):
    own = program(app, workspaces.create(unique("acme"), timezone="Asia/Kathmandu"))
    wrong = [
        {"colour": "red"},
        {"tz": "UTC"},
        {"group_by": "hour", "to": "2026-12-01"},
        {"compare": "after"},
        {"tag": "a"},
    ]

    told = [own.get("/usage", SPAN | query).json["error"]["message"] for query in wrong]

    assert [
        (
            "There is no parameter 'colour'. Known are workspace, tz, group_by, interval, period, from, to, compare,"
            " application, model, key, member, alias, provider, status, cost_centre, tag, limit, after."
        ),
        "'tz' must be the workspace's own zone, Asia/Kathmandu, or left out: days are added up by it.",
        "'to' must lie within 7 days of the first day to show hours.",
        "'compare' must be one of before.",
        "'tag' must be a tag's name and value with a colon between them, such as team:search.",
    ] == told


def test_another_workspaces_ids_give_nothing_and_name_nobody(app, books, scene, ask):  # noqa: F811
    other = workspaces.create(unique("other"))
    theirs = people.member(other, "owner")

    lines = [ask(group_by="member", member=str(theirs.user_id)), ask(group_by="key", key=str(theirs.user_id))]

    assert [0, 0] == [answer["total"]["requests"] for answer in lines]
    page = people.member(scene.workspace_id, "owner").client(app)
    shown = page.get(address(scene), query_string=SPAN | {"member": str(theirs.user_id)})
    assert theirs.email not in shown.get_data(as_text=True)
    assert 0 == program(app, other).get("/usage", SPAN).json["total"]["requests"]
    assert books.rows()


def test_places_and_filters_survive_the_way_through_an_address():
    place = ranking.Place(billed=Decimal("1.5"), requests=3, id="a~b\u00fc", other="\u05e9")

    assert place == ranking.read_place(ranking.place_text(place))
    assert [None] * 4 == [ranking.read_place(text) for text in ("", "x", "W10", "WyItMSIsMSwiYSIsIiJd")]
