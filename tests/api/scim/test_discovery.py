"""What clients are told of this address."""

from tests.api.scim.directory import ENTERPRISE, GROUP, USER


def test_the_features_are_told(entra):
    told = entra.get("/ServiceProviderConfig").json

    assert (True, False, False) == tuple(told[name]["supported"] for name in ("patch", "bulk", "etag"))
    assert {"supported": True, "maxResults": 200} == told["filter"]
    assert ["oauthbearertoken"] == [scheme["type"] for scheme in told["authenticationSchemes"]]


def test_the_kinds_of_resources_are_told(entra):
    told = entra.get("/ResourceTypes").json

    assert {"User": "/Users", "Group": "/Groups"} == {one["id"]: one["endpoint"] for one in told["Resources"]}
    assert USER == entra.get("/ResourceTypes/user").json["schema"]
    assert 404 == entra.get("/ResourceTypes/Printer").status_code


def test_the_attributes_are_told_in_camel_case_and_without_nulls(entra):
    told = entra.get("/Schemas").json

    assert {USER, GROUP, ENTERPRISE} == {one["id"] for one in told["Resources"]}
    attributes = [one for schema in told["Resources"] for one in schema["attributes"]]
    assert {"readWrite"} == {one["mutability"] for one in attributes}
    assert not any(value is None for one in attributes for value in one.values())
    assert "userName" in {one["name"] for one in entra.get(f"/Schemas/{USER}").json["attributes"]}


def test_what_is_not_there_is_said_in_scims_words(entra):
    answers = [entra.send("POST", "/Bulk", {}), entra.get("/Me"), entra.send("DELETE", "/Users")]

    assert [404] * 3 == [answer.status_code for answer in answers]
    assert {"application/scim+json"} == {answer.content_type for answer in answers}
