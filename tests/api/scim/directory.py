"""Entra ID's provisioning, played: the requests that its documentation shows, with people of our own.

https://learn.microsoft.com/entra/identity/app-provisioning/use-scim-to-provision-users-and-groups and
…/application-provisioning-config-problem-scim-compatibility, read 2026-11-25.
"""

import json
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from flask import Flask

from app.auth import scim_tokens
from tests import directory, people
from tests.factories import unique

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
OLD_GROUP = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


@dataclass(frozen=True)
class Provisioning:
    """One provider's provisioning, with its token. Each request has an app context of its own, as in a server."""

    app: Flask
    provider_id: UUID
    token_id: UUID
    token: str

    def send(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "User-Agent": "provisioning"} | options.pop("headers", {})
        if body is not None:
            options |= {"data": body if isinstance(body, bytes) else json.dumps(body)}
            options |= {"content_type": "application/scim+json; charset=utf-8"}
        client = self.app.test_client()
        return Context().run(partial(client.open, f"/scim/v2{path}", method=method, headers=headers, **options))

    def get(self, path: str, **query: Any) -> Any:
        return self.send("GET", path, query_string=query)

    def ask(self, kind: str, words: str, **query: Any) -> list[dict[str, Any]]:
        """List what a filter leaves."""
        answer = self.get(f"/{kind}", filter=words, **query)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.json["Resources"]

    def make(self, kind: str, body: dict[str, Any]) -> str:
        """Create something and give its id."""
        answer = self.send("POST", f"/{kind}", body)
        assert answer.status_code == 201, answer.get_data(as_text=True)
        return str(answer.json["id"])

    def user(self, **members: Any) -> str:
        return self.make("Users", user(**members))

    def group(self, *members: str, **fields: Any) -> str:
        own = self.make("Groups", group(**fields))
        if members:
            assert self.patch(f"/Groups/{own}", add_members(*members)).status_code == 204
        return own

    def patch(self, path: str, *operations: dict[str, Any]) -> Any:
        return self.send("PATCH", path, {"schemas": [PATCH], "Operations": list(operations)})


def connect(app: Flask, **columns: object) -> Provisioning:
    """Register a provider and give its provisioning a token."""
    provider_id = directory.provider(**columns)
    made = scim_tokens.create(provider_id, by=people.person().user_id)
    return Provisioning(app, provider_id, made.token_id, made.secret)


def user(**members: Any) -> dict[str, Any]:
    """Create a user: what is sent for somebody new."""
    name = unique("jane")
    return {
        "schemas": [USER, ENTERPRISE],
        "externalId": str(uuid4()),
        "userName": f"{name}@corp.test",
        "active": True,
        "emails": [{"primary": True, "type": "work", "value": f"{name}@mail.corp.test"}],
        "meta": {"resourceType": "User"},
        "name": {"formatted": "Jane Doe", "familyName": "Doe", "givenName": "Jane"},
        "roles": [],
    } | members


def with_nulls(user_name: str, manager_id: str) -> dict[str, Any]:
    """Create a user, as the second example has it: nulls for what the directory does not know."""
    return {
        "schemas": [USER, f"{ENTERPRISE}"],
        "externalId": "joy",
        "userName": user_name,
        "active": True,
        "addresses": None,
        "displayName": "Joy Young",
        "emails": [{"type": "work", "value": user_name.upper(), "primary": True}],
        "meta": {"resourceType": "User"},
        "name": {"familyName": "Young", "givenName": "Joy"},
        "phoneNumbers": None,
        "preferredLanguage": None,
        "title": None,
        "department": None,
        ENTERPRISE: {"manager": manager_id, "department": "Research"},
    }


def group(**fields: Any) -> dict[str, Any]:
    """Create a group: Entra ID names a schema of its own beside the standard's, and no members."""
    own = {"externalId": str(uuid4()), "displayName": unique("Engineers"), "meta": {"resourceType": "Group"}}
    return {"schemas": [GROUP, OLD_GROUP]} | own | fields


def replace(path: str, value: Any) -> dict[str, Any]:
    return {"op": "Replace", "path": path, "value": value}


def add(path: str, value: Any) -> dict[str, Any]:
    return {"op": "Add", "path": path, "value": value}


def add_members(*ids: str) -> dict[str, Any]:
    return add("members", [{"$ref": None, "value": own} for own in ids])


def remove_members(*ids: str) -> dict[str, Any]:
    """Remove members as Entra ID sends it by itself."""
    return {"op": "Remove", "path": "members", "value": [{"$ref": None, "value": own} for own in ids]}


def remove_member(own: str) -> dict[str, Any]:
    """Remove a member as the standard has it, which Entra ID sends with the flag aadOptscim062020."""
    return {"op": "remove", "path": f'members[value eq "{own}"]'}


DISABLE = {
    "as Entra ID sends it": replace("active", "False"),
    "as its reference shows": replace("active", False),
    "with the flag": {"op": "replace", "path": "active", "value": False},
    "without a path": {"op": "replace", "value": {"active": False}},
    "as a list of one": replace("active", [{"$ref": None, "value": "False"}]),
}
"""The ways in which a user is disabled."""
