"""Users, by the requests of Entra ID's documentation."""

from uuid import UUID, uuid4

import pytest

from app.auth import users
from tests.api.scim.directory import DISABLE, ENTERPRISE, USER, add, replace, user, with_nulls

LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"


def shown(entra, own):
    return entra.get(f"/Users/{own}").json


def test_a_created_user_is_answered_with_what_was_sent(entra):
    sent = user()

    answer = entra.send("POST", "/Users", sent)

    told = answer.json
    assert (201, "application/scim+json") == (answer.status_code, answer.content_type)
    assert f"http://localhost/scim/v2/Users/{told['id']}" == answer.headers["Location"] == told["meta"]["location"]
    assert [USER] == told["schemas"]
    kept = ("externalId", "userName", "active", "emails", "name")
    assert {name: sent[name] for name in kept} == {name: told[name] for name in kept}
    assert "User" == told["meta"]["resourceType"]
    assert told == shown(entra, told["id"])


def test_a_created_user_has_an_account_that_no_password_opens(entra):
    own = entra.user(displayName="Jane D.", emails=[{"type": "work", "value": "Jane.Doe@Corp.Test"}])

    person = users.of([UUID(own)])[UUID(own)]

    assert ("Jane D.", "jane.doe@corp.test") == (person.name, person.email)
    assert users.to_sign_in("jane.doe@corp.test").password_hash is None


def test_nulls_are_left_out_and_the_enterprise_extension_is_kept(entra):
    manager = entra.user()

    told = entra.send("POST", "/Users", with_nulls("joy@corp.test", manager)).json

    assert {"value": manager} == told[ENTERPRISE]["manager"]
    assert "Research" == told[ENTERPRISE]["department"]
    assert ENTERPRISE in told["schemas"]
    assert not {"addresses", "phoneNumbers", "title", "department"} & told.keys()
    assert "Joy Young" == told["displayName"]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"emails": []}, "user name"),
        (
            {"emails": [{"type": "home", "value": "home@x.test"}, {"type": "work", "value": "work@x.test"}]},
            "work@x.test",
        ),
        ({"emails": [{"type": "other", "value": "a@x.test"}, {"value": "b@x.test", "primary": True}]}, "b@x.test"),
        ({"emails": [{"type": "work", "value": "no address"}]}, "user name"),
        ({"emails": None, "userName": "jane"}, "nobody's"),
    ],
)
def test_the_account_has_the_address_of_work(entra, given, found):
    sent = user(**given)
    own = entra.make("Users", sent)

    email = users.of([UUID(own)])[UUID(own)].email

    expected = {"user name": sent["userName"].lower(), "nobody's": f"{own}@{entra.provider_id}.invalid"}
    assert expected.get(found, found) == email


def test_a_user_is_found_by_what_entra_asks_for(entra):
    manager = entra.user()
    sent = user(**{ENTERPRISE: {"manager": {"value": manager}, "employeeNumber": "701984"}, "displayName": "Jane D."})
    own = entra.make("Users", sent)
    entra.user()

    words = [
        f'userName eq "{sent["userName"]}"',
        f'userName eq "{sent["userName"].upper()}"',
        f'externalId eq "{sent["externalId"]}"',
        f"externalId eq {sent['externalId']}",
        f'emails[type eq "work"].value eq "{sent["emails"][0]["value"]}"',
        f'{USER}:userName eq "{sent["userName"]}"',
        f'{ENTERPRISE}:employeeNumber eq "701984"',
        f'id eq "{own}" and manager eq "{manager}"',
        f'displayName eq "jane d." AND active eq true and externalId eq "{sent["externalId"]}"',
    ]
    assert {asked: [own] for asked in words} == {
        asked: [found["id"] for found in entra.ask("Users", asked)] for asked in words
    }


def test_a_connection_is_tested_by_asking_for_nobody(entra):
    entra.user()

    answer = entra.get("/Users", filter=f'userName eq "{uuid4()}"')

    assert 200 == answer.status_code
    assert {"schemas": [LIST], "totalResults": 0, "startIndex": 1, "itemsPerPage": 0, "Resources": []} == answer.json


def test_values_of_several_parts_are_updated(entra):
    own = entra.user()

    answer = entra.patch(
        f"/Users/{own}",
        replace('emails[type eq "work"].value', "updated@mail.corp.test"),
        replace("name.familyName", "Updated"),
    )

    told = answer.json
    assert 200 == answer.status_code
    assert [{"value": "updated@mail.corp.test", "type": "work", "primary": True}] == told["emails"]
    assert ("Updated", "Jane") == (told["name"]["familyName"], told["name"]["givenName"])
    assert "updated@mail.corp.test" == users.of([UUID(own)])[UUID(own)].email


def test_a_value_that_is_alone_is_updated(entra):
    own = entra.user()

    told = entra.patch(f"/Users/{own}", replace("userName", "5b50642d@corp.test")).json

    assert "5b50642d@corp.test" == told["userName"]
    assert [own] == [found["id"] for found in entra.ask("Users", 'userName eq "5b50642d@corp.test"')]


def test_several_are_replaced_with_and_without_paths(entra):
    """What Entra ID sends by itself, and what it sends with the flag aadOptscim062020."""
    one, other = entra.user(), entra.user()

    entra.patch(
        f"/Users/{one}",
        replace("displayName", "Pvlo"),
        replace('emails[type eq "work"].value', "one@mail.corp.test"),
        replace("name.givenName", "Gtfd"),
        replace("externalId", "Eqpj"),
        replace(f"{ENTERPRISE}:employeeNumber", "4711"),
    )
    entra.patch(
        f"/Users/{other}",
        {"op": "replace", "path": 'emails[type eq "work"].value', "value": "other@mail.corp.test"},
        {
            "op": "replace",
            "value": {"displayName": "Bjfe", "name.givenName": "Kkom", f"{ENTERPRISE}:employeeNumber": "9"},
        },
    )

    told = [shown(entra, own) for own in (one, other)]
    assert ["Pvlo", "Bjfe"] == [each["displayName"] for each in told]
    assert ["Gtfd", "Kkom"] == [each["name"]["givenName"] for each in told]
    assert ["4711", "9"] == [each[ENTERPRISE]["employeeNumber"] for each in told]
    assert ["one@mail.corp.test", "other@mail.corp.test"] == [each["emails"][0]["value"] for each in told]
    assert "Eqpj" == told[0]["externalId"]
    assert "Doe" == told[1]["name"]["familyName"]


def test_what_is_not_there_yet_is_added(entra):
    manager, own = entra.user(), entra.user(emails=[])

    entra.patch(
        f"/Users/{own}",
        add("nickName", "Babs"),
        add('emails[type eq "work"].value', "new@mail.corp.test"),
        add('phoneNumbers[type eq "mobile"].value', "55555555555"),
        add("manager", [{"$ref": f"http://localhost/scim/v2/Users/{manager}", "value": manager}]),
        add("urn:ietf:params:scim:schemas:extension:CustomExtensionName:2.0:User:tag", "701984"),
    )

    told = shown(entra, own)
    assert "Babs" == told["nickName"]
    assert [{"type": "work", "value": "new@mail.corp.test"}] == told["emails"]
    assert [{"type": "mobile", "value": "55555555555"}] == told["phoneNumbers"]
    assert manager == told[ENTERPRISE]["manager"]["value"]
    assert {"tag": "701984"} == told["urn:ietf:params:scim:schemas:extension:CustomExtensionName:2.0:User"]
    assert 3 == len(told["schemas"])


def test_what_is_removed_is_gone(entra):
    phones = [{"type": "mobile", "value": "1"}, {"type": "work", "value": "2"}]
    own = entra.user(title="Boss", phoneNumbers=phones, **{ENTERPRISE: {"department": "Research"}})

    entra.patch(
        f"/Users/{own}",
        {"op": "Remove", "path": "title"},
        {"op": "Remove", "path": 'phoneNumbers[type eq "mobile"].value'},
        {"op": "Remove", "path": 'phoneNumbers[type eq "fax"]'},
        {"op": "remove", "path": f"{ENTERPRISE}:department"},
        replace("name.formatted", None),
    )

    told = shown(entra, own)
    assert "title" not in told
    assert [phones[1]] == told["phoneNumbers"]
    assert ENTERPRISE not in told
    assert {"familyName": "Doe", "givenName": "Jane"} == told["name"]


@pytest.mark.parametrize("way", sorted(DISABLE))
def test_a_disabled_user_cannot_sign_in_and_is_still_told_of(entra, way):
    own = entra.user()
    email = users.of([UUID(own)])[UUID(own)].email

    answer = entra.patch(f"/Users/{own}", DISABLE[way])

    assert (200, False) == (answer.status_code, answer.json["active"])
    assert users.to_sign_in(email) is None
    assert shown(entra, own)["active"] is False
    assert [own] == [found["id"] for found in entra.ask("Users", "active eq False")]


def test_a_user_who_was_disabled_is_restored(entra):
    own = entra.user()
    entra.patch(f"/Users/{own}", replace("active", "False"))

    answer = entra.patch(f"/Users/{own}", replace("active", "True"))

    assert answer.json["active"] is True
    assert users.to_sign_in(users.of([UUID(own)])[UUID(own)].email)


def test_a_deleted_user_is_gone_and_the_name_is_free(entra):
    sent = user()
    own = entra.make("Users", sent)

    answer = entra.send("DELETE", f"/Users/{own}")

    assert (204, b"") == (answer.status_code, answer.data)
    assert [404, 404] == [entra.send(method, f"/Users/{own}").status_code for method in ("GET", "DELETE")]
    assert [] == entra.ask("Users", f'userName eq "{sent["userName"]}"')
    assert own != entra.make("Users", sent | {"externalId": str(uuid4())})


def test_a_user_is_put_in_anothers_place_and_stays_as_active_as_he_was(entra):
    sent = user(title="Boss")
    own = entra.make("Users", sent)
    entra.patch(f"/Users/{own}", replace("active", "False"))
    wanted = {name: value for name, value in sent.items() if name not in {"title", "active"}}

    told = entra.send("PUT", f"/Users/{own}", wanted | {"displayName": "Put"}).json

    assert ("Put", False, None) == (told["displayName"], told["active"], told.get("title"))


def test_attributes_are_left_out_when_they_are_not_wanted(entra):
    own = entra.user(**{ENTERPRISE: {"department": "Research"}})

    some = entra.get(f"/Users/{own}", attributes="userName,name.givenName").json
    without = entra.get(f"/Users/{own}", excludedAttributes=f"emails,{ENTERPRISE}:department").json

    assert {"schemas", "id", "userName", "name"} == some.keys()
    assert not {"emails", ENTERPRISE} & without.keys()
    assert {"userName", "name", "meta"} <= without.keys()
