"""Who is let in, to whose people, and how much at once; what is refused is said in SCIM's words and written down."""

import dataclasses
import json
from uuid import uuid4

import pytest
from sqlalchemy import text

from app import create_app
from app.api.scim import door
from app.application import secrets
from app.auth import scim_tokens
from app.extensions import redis, transaction
from app.units import PLATFORM_ID, utc_now
from tests import directory, people
from tests.api.scim.directory import PATCH, add_members, connect, group, remove_members, replace, user
from tests.gateway_process import close_app

ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
ROUTES = [
    ("GET", "/Users"),
    ("POST", "/Users"),
    ("GET", "/Users/{own}"),
    ("PUT", "/Users/{own}"),
    ("PATCH", "/Users/{own}"),
    ("DELETE", "/Users/{own}"),
    ("GET", "/Groups"),
    ("POST", "/Groups"),
    ("GET", "/Groups/{own}"),
    ("PUT", "/Groups/{own}"),
    ("PATCH", "/Groups/{own}"),
    ("DELETE", "/Groups/{own}"),
    ("GET", "/ServiceProviderConfig"),
    ("GET", "/ResourceTypes"),
    ("GET", "/ResourceTypes/User"),
    ("GET", "/Schemas"),
    ("GET", "/Schemas/urn:ietf:params:scim:schemas:core:2.0:User"),
    ("POST", "/Bulk"),
    ("GET", "/"),
]
CHANGES = {
    "create_user": ("POST", "/Users", user, "account.create"),
    "replace_user": ("PUT", "/Users/{user}", user, "account.update"),
    "change_user": ("PATCH", "/Users/{user}", lambda: patch(replace("title", "Boss")), "account.update"),
    "delete_user": ("DELETE", "/Users/{user}", lambda: None, "account.deprovision"),
    "create_group": ("POST", "/Groups", group, "group.create"),
    "replace_group": ("PUT", "/Groups/{group}", group, "group.update"),
    "change_group": ("PATCH", "/Groups/{group}", lambda: patch(replace("displayName", "New")), "group.update"),
    "delete_group": ("DELETE", "/Groups/{group}", lambda: None, "group.delete"),
}
"""Endpoint → what is sent, and which entry it leaves."""


def patch(*operations):
    return {"schemas": [PATCH], "Operations": list(operations)}


def said(answer):
    assert answer.content_type == "application/scim+json"
    assert [ERROR] == answer.json["schemas"]
    assert str(answer.status_code) == answer.json["status"]
    return answer.status_code, answer.json.get("scimType")


def entries():
    with transaction(PLATFORM_ID) as session:
        return [dict(row) for row in session.execute(text('select * from audit_outbox order by "position"')).mappings()]


def forget_entries(fresh_database):
    import psycopg

    with psycopg.connect(fresh_database.owner_url, autocommit=True) as owner:
        owner.execute("delete from audit_outbox")


def bad_tokens(entra):
    changed = entra.token[:-1] + ("1" if entra.token.endswith("0") else "0")
    unknown = secrets.generate("scim").token
    tokens = [changed, unknown, entra.token + "x", "gw_scim", "ÿ", secrets.generate().token]
    return ["", "Bearer", "Basic abc", f"Basic {entra.token}", *(f"Bearer {token}" for token in tokens)]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_is_let_in_without_a_token(entra, method, path):
    address = path.format(own=uuid4())

    refused = [entra.send(method, address, headers={"Authorization": given}) for given in bad_tokens(entra)]

    assert {(401, None)} == {said(answer) for answer in refused}
    assert all("Bearer" in answer.headers["WWW-Authenticate"] for answer in refused)


def test_every_route_stands_behind_the_door(app):
    rules = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/scim/")]

    assert len(rules) > len(CHANGES)
    assert [] == [rule.rule for rule in rules if not hasattr(app.view_functions[rule.endpoint], "provisioning")]


def test_a_token_that_is_revoked_or_of_a_disabled_provider_opens_nothing(app, entra):
    other = connect(app)
    assert [200, 200] == [each.get("/Users").status_code for each in (entra, other)]

    scim_tokens.revoke(entra.provider_id, entra.token_id, now=utc_now())
    directory.disable(other.provider_id)

    assert [401, 401] == [each.get("/Users").status_code for each in (entra, other)]


def test_a_token_works_in_any_letter_case_of_its_scheme_and_is_noted_as_used(entra):
    assert scim_tokens.of(entra.provider_id)[0].last_used_at is None

    answer = entra.send("GET", "/Users", headers={"Authorization": f"bEARER  {entra.token}"})

    assert 200 == answer.status_code
    assert scim_tokens.of(entra.provider_id)[0].last_used_at


def test_another_providers_people_and_groups_are_like_those_who_do_not_exist(app, entra):
    other = connect(app)
    jane, engineers = other.user(), other.group()
    other.patch(f"/Groups/{engineers}", add_members(jane))

    for path, own in (("/Users", jane), ("/Groups", engineers)):
        for method, body in (("GET", None), ("PUT", user() | group()), ("PATCH", patch(replace("displayName", "x")))):
            theirs, nobodys = (entra.send(method, f"{path}/{which}", body) for which in (own, uuid4()))
            assert (404, None) == said(theirs) == said(nobodys)
        assert 404 == entra.send("DELETE", f"{path}/{own}").status_code
        assert (
            0 == entra.get(path).json["totalResults"] == entra.get(path, filter=f'id eq "{own}"').json["totalResults"]
        )
    mine = entra.group()
    assert (400, "invalidValue") == said(entra.patch(f"/Groups/{mine}", add_members(jane)))
    assert 204 == entra.patch(f"/Groups/{mine}", remove_members(jane)).status_code
    assert [jane] == [member["value"] for member in other.get(f"/Groups/{engineers}").json["members"]]


def test_people_of_the_console_are_not_provisionings(entra):
    own = people.person(platform_role="admin").user_id

    answers = [entra.get(f"/Users/{own}"), entra.patch(f"/Users/{own}", replace("active", False))]

    assert [(404, None)] * 2 == [said(answer) for answer in answers]
    assert 0 == entra.get("/Users").json["totalResults"]


def test_what_is_taken_is_409(entra):
    jane, engineers = user(), group()
    entra.make("Users", jane)
    entra.make("Groups", engineers)
    other = entra.user()

    taken = [
        entra.send("POST", "/Users", jane | {"externalId": "x"}),
        entra.send("POST", "/Users", jane | {"externalId": "x", "userName": jane["userName"].upper()}),
        entra.send("POST", "/Users", user(externalId=jane["externalId"])),
        entra.send("POST", "/Users", user(emails=jane["emails"])),
        entra.send("POST", "/Groups", group(displayName=engineers["displayName"].upper())),
        entra.patch(f"/Users/{other}", replace("userName", jane["userName"])),
        entra.patch(f"/Users/{other}", replace("externalId", jane["externalId"])),
        entra.patch(f"/Users/{other}", replace('emails[type eq "work"].value', jane["emails"][0]["value"])),
        entra.patch(f"/Groups/{entra.group()}", replace("displayName", engineers["displayName"])),
    ]

    assert [(409, "uniqueness")] * len(taken) == [said(answer) for answer in taken]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "invalidSyntax"),
        (b"{", "invalidSyntax"),
        (b"[]", "invalidSyntax"),
        (b"\xff", "invalidSyntax"),
        (b"[" * 100_000, "invalidSyntax"),
        ({}, "invalidValue"),
        (user(userName=""), "invalidValue"),
        (user(userName=7), "invalidValue"),
        (user(userName="a\nb"), "invalidValue"),
        (user(userName="x" * 255), "invalidValue"),
        (user(active="perhaps"), "invalidValue"),
        (user(externalId=["x"]), "invalidValue"),
        (user(emails="jane@corp.test"), "invalidValue"),
        (user(emails=["jane@corp.test"]), "invalidValue"),
        (user(name="Jane"), "invalidValue"),
        (user(title="a\0b"), "invalidValue"),
        (user(title="x" * 70_000), "invalidValue"),
        (user(custom={"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": {}}}}}}}}}}), "invalidValue"),
    ],
)
def test_a_user_that_cannot_be_is_400(entra, body, kind):
    assert (400, kind) == said(entra.send("POST", "/Users", body))


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ({"op": "move", "path": "title", "value": "x"}, "invalidSyntax"),
        ({"op": "Replace", "path": "title"}, "invalidValue"),
        ({"op": "Replace", "value": "x"}, "invalidSyntax"),
        ({"op": "Remove"}, "noTarget"),
        ({"op": "Replace", "path": "emails[type eq", "value": "x"}, "invalidPath"),
        ({"op": "Replace", "path": 'emails[type ne "work"].value', "value": "x"}, "invalidFilter"),
        ({"op": "Replace", "path": "emails.value", "value": "x"}, "invalidPath"),
        ({"op": "Replace", "path": "../../id", "value": "x"}, "invalidPath"),
        ({"op": "Replace", "path": 7, "value": "x"}, "invalidPath"),
        ({"op": "Replace", "path": "x" * 600, "value": "x"}, "invalidPath"),
        ({"op": "Replace", "path": "active", "value": "perhaps"}, "invalidValue"),
        ({"op": "Remove", "path": "userName"}, "invalidValue"),
        ("add", "invalidSyntax"),
    ],
)
def test_a_change_of_a_user_that_cannot_be_is_400(entra, operation, kind):
    own = entra.user()
    before = entra.get(f"/Users/{own}").json

    assert (400, kind) == said(entra.patch(f"/Users/{own}", operation))
    assert before == entra.get(f"/Users/{own}").json


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"Operations": []},
        {"Operations": {}},
        patch({"op": "Replace", "path": "title", "value": "x"}),
        patch(replace("displayName", "")),
        patch({"op": "Remove", "path": "displayName"}),
        patch(add_members("jane")),
        patch({"op": "Add", "path": "members", "value": [None]}),
        patch({"op": "remove", "path": 'members[display eq "jane"]'}),
    ],
)
def test_a_change_of_a_group_that_cannot_be_is_400(entra, body):
    own = entra.group()

    status, kind = said(entra.send("PATCH", f"/Groups/{own}", body))

    assert status == 400
    assert kind in {"invalidSyntax", "invalidPath", "invalidValue"}


@pytest.mark.parametrize(
    "words",
    [
        "",
        "userName",
        "userName pr",
        'userName ne "x"',
        'userName sw "x"',
        'userName eq "x" or userName eq "y"',
        'not (userName eq "x")',
        '(userName eq "x")',
        'userName eq "x',
        'userName eq "x" and',
        'password eq "x"',
        'userName eq "x"; drop table scim_user',
        " and ".join(['userName eq "x"'] * 11),
        'userName eq "' + "x" * 3000 + '"',
        "a" * 1_999,
        "a." * 999,
    ],
)
def test_a_filter_that_is_not_understood_is_refused_and_never_taken_for_none(entra, words):
    entra.user()

    assert (400, "invalidFilter") == said(entra.get("/Users", filter=words))


def test_lists_come_in_pages(entra):
    everybody = {entra.user() for _ in range(5)}

    pages = [entra.get("/Users", startIndex=start, count=2).json for start in (1, 3, 5, 7)]

    assert [(5, 1, 2), (5, 3, 2), (5, 5, 1), (5, 7, 0)] == [
        (page["totalResults"], page["startIndex"], page["itemsPerPage"]) for page in pages
    ]
    ids = [found["id"] for page in pages for found in page["Resources"]]
    assert (5, everybody) == (len(ids), set(ids))


def test_odd_pages_are_answered_as_the_standard_says(entra):
    entra.user()

    def page(**query):
        answer = entra.get("/Users", **query).json
        return answer["startIndex"], answer["totalResults"], answer["itemsPerPage"]

    assert (1, 1, 0) == page(count=0) == page(count=-1)
    assert (1, 1, 1) == page(startIndex=0) == page(startIndex=-7) == page(count=10**9)
    assert 0 == page(startIndex=10**15)[2]
    for query in ({"count": "many"}, {"startIndex": "1.5"}, {"count": "٣"}):
        assert (400, "invalidValue") == said(entra.get("/Users", **query))


def test_a_body_that_is_too_large_is_413(entra):
    answer = entra.send("POST", "/Users", b" " * (door.LARGEST_BYTES + 1))

    assert (413, None) == said(answer)


def test_a_patch_names_up_to_1000_members(entra):
    own = entra.group()
    nobody = str(uuid4())

    too_many = entra.patch(f"/Groups/{own}", add_members(*[nobody] * 501), remove_members(*[nobody] * 500))
    most = entra.patch(f"/Groups/{own}", remove_members(*[nobody] * 1000))

    assert ((413, None), 204) == (said(too_many), most.status_code)


def test_a_token_that_asks_too_often_is_told_to_wait(app, entra, monkeypatch):
    other = connect(app)
    monkeypatch.setattr(door, "MOST_PER_MIN", 2)

    answers = [entra.get("/Users") for _ in range(5)]

    # A minute may have ended in between, and with it the count.
    assert 429 in {answer.status_code for answer in answers}
    assert 0 < int(next(one for one in answers if one.status_code == 429).headers["Retry-After"]) <= 60
    assert 200 == other.get("/Users").status_code


def test_without_redis_provisioning_goes_on(fresh_database, redis_url):
    app = create_app(fresh_database.settings("redis://127.0.0.1:1/0"))
    with app.app_context():
        assert redis_url
        assert redis()
        assert 201 == connect(app).send("POST", "/Users", user()).status_code
    close_app(app)


@pytest.mark.parametrize("endpoint", sorted(CHANGES))
def test_a_change_is_written_down(entra, fresh_database, endpoint):
    method, path, body, action = CHANGES[endpoint]
    ids = {"user": entra.user(), "group": entra.group()}
    forget_entries(fresh_database)

    answer = entra.send(method, path.format(**ids), body())

    assert answer.status_code < 300
    (entry,) = [one for one in entries() if one["action"] == action]
    name = f"SCIM token …{entra.token[-4:]}"
    assert ("key", str(entra.token_id), name) == (entry["actor_kind"], entry["actor_id"], entry["actor_name"])
    assert ("done", "127.0.0.1", "provisioning") == (entry["outcome"], entry["ip"], entry["user_agent"])
    assert answer.headers["X-Request-Id"] == entry["request_id"]


@pytest.mark.parametrize("endpoint", sorted(CHANGES))
def test_a_refused_change_is_written_down(entra, fresh_database, endpoint):
    method, path, _, _ = CHANGES[endpoint]
    forget_entries(fresh_database)

    answer = entra.send(method, path.format(user=uuid4(), group=uuid4()), {"displayName": 7})

    (entry,) = entries()
    assert answer.status_code in {400, 404}
    assert (f"scim.{endpoint}", "refused", "key") == (entry["action"], entry["outcome"], entry["actor_kind"])
    assert answer.json["detail"] == entry["reason"]


def test_every_route_that_changes_something_has_an_example(app):
    changing = {
        rule.endpoint.removeprefix("scim.")
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("scim.") and (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}
    }

    assert set(CHANGES) | {"nothing_here"} == changing


def test_what_people_are_called_is_in_the_trail_and_what_else_is_known_of_them_is_not(entra, fresh_database):
    own, jane = entra.group(), entra.user()
    forget_entries(fresh_database)

    entra.patch(f"/Users/{jane}", replace("title", "Secret Agent"), replace("displayName", "Jane D."))
    entra.patch(f"/Groups/{own}", add_members(jane))

    person, group_entry = entries()
    assert ({"name": "Jane D.", "attributes": ["displayName", "title"]}) == person["after"]
    assert {"added": [entra.get(f"/Users/{jane}").json["userName"]]} == group_entry["after"]
    assert "Secret Agent" not in json.dumps([person["before"], person["after"]])


def test_the_role_proxy_serves_no_provisioning(fresh_database, redis_url):
    proxy = create_app(fresh_database.settings(redis_url, role="proxy"))
    console = create_app(fresh_database.settings(redis_url, role="console"))

    paths = [{rule.rule for rule in app.url_map.iter_rules()} for app in (proxy, console)]

    assert [False, True] == ["/scim/v2/Users" in found for found in paths]
    close_app(proxy)
    close_app(console)


def test_resources_are_below_the_public_address(fresh_database, redis_url):
    app = create_app(fresh_database.settings(redis_url, public_url="https://gateway.example.test"))
    with app.app_context():
        answer = connect(app).send("POST", "/Users", user())
    close_app(app)

    assert answer.headers["Location"].startswith("https://gateway.example.test/scim/v2/Users/")


def test_a_token_made_before_the_secret_key_changed_goes_on_working(fresh_database, redis_url, entra):
    before = "a-secret-for-tests-of-enough-length"
    newer = {"secret_key": "another-secret-of-enough-length-too", "secret_key_previous": (before,)}

    answers = []
    for changes in (newer, newer | {"secret_key_previous": ()}):
        app = create_app(fresh_database.settings(redis_url, **changes))
        answers.append(dataclasses.replace(entra, app=app).get("/Users").status_code)
        close_app(app)

    assert [200, 401] == answers
