"""What this address of SCIM can do, for clients that ask: features, kinds of resources and their attributes."""

from typing import Any

from flask import Response
from werkzeug.exceptions import NotFound

from app.api.scim import answers, door, paging
from app.api.scim.door import blueprint, provisioning
from app.auth.scim_documents import CORE, ENTERPRISE

CONFIG = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
TYPE = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:Schema"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
EVERY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@blueprint.get("/ServiceProviderConfig")
@provisioning
def show_config() -> Response:
    """Tell which parts of the standard are here."""
    token = {
        "type": "oauthbearertoken",
        "name": "Token",
        "description": "A token made in the console.",
        "primary": True,
    }
    features = {
        "patch": {"supported": True},
        "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": door.LARGEST_BYTES},
        "filter": {"supported": True, "maxResults": paging.MOST},
        "changePassword": {"supported": False},
        "sort": {"supported": False},
        "etag": {"supported": False},
        "authenticationSchemes": [token],
    }
    return answers.one({"schemas": [CONFIG]} | features | {"meta": _meta("ServiceProviderConfig")})


@blueprint.get("/ResourceTypes")
@provisioning
def list_types() -> Response:
    """List the kinds of resources."""
    return answers.listed(_types(), total=len(_types()))


@blueprint.get("/ResourceTypes/<name>")
@provisioning
def show_type(name: str) -> Response:
    """Show a kind of resource."""
    return answers.one(_named(_types(), name))


@blueprint.get("/Schemas")
@provisioning
def list_schemas() -> Response:
    """List the attributes of each kind."""
    return answers.listed(_schemas(), total=len(_schemas()))


@blueprint.get("/Schemas/<name>")
@provisioning
def show_schema(name: str) -> Response:
    """Show the attributes of one kind."""
    return answers.one(_named(_schemas(), name))


@blueprint.route("/", methods=EVERY_METHOD)
@blueprint.route("/<path:rest>", methods=EVERY_METHOD)
@provisioning
def nothing_here(rest: str = "") -> Response:
    """Answer every other address in SCIM's words, and only to those who may ask."""
    raise NotFound(rest)


def _attribute(name: str, says: str, kind: str = "string", **more: Any) -> dict[str, Any]:
    usual = {"multiValued": False, "required": False, "mutability": "readWrite", "returned": "default"}
    text = {"caseExact": False, "uniqueness": "none"} if kind == "string" else {}
    return {"name": name, "type": kind, "description": says} | usual | text | more


_NAME = (
    _attribute("formatted", "The whole name."),
    _attribute("familyName", "The family name."),
    _attribute("givenName", "The given name."),
)
_EMAIL = (
    _attribute("value", "The address."),
    _attribute("type", "work, home or other.", canonicalValues=["work", "home", "other"]),
    _attribute("primary", "Whether it is the one to use.", "boolean"),
)
_MEMBER = (
    _attribute("value", "The id of the user.", mutability="immutable", caseExact=True),
    _attribute("$ref", "The address of the user.", "reference", mutability="immutable", referenceTypes=["User"]),
    _attribute("display", "The user's name.", mutability="readOnly"),
)
_MANAGER = (
    _attribute("value", "The id of the manager."),
    _attribute("displayName", "The manager's name.", mutability="readOnly"),
)
_EXTERNAL_ID = _attribute("externalId", "The id in the directory: for Entra ID, map objectId.", caseExact=True)

_ATTRIBUTES: dict[str, tuple[str, str, list[dict[str, Any]]]] = {
    CORE: (
        "User",
        "Somebody with an account.",
        [
            _attribute("userName", "How the directory calls the person.", required=True, uniqueness="server"),
            _EXTERNAL_ID,
            _attribute("displayName", "How people call the person."),
            _attribute("active", "Whether the person may sign in.", "boolean"),
            _attribute("title", "The job's title."),
            _attribute("preferredLanguage", "The language."),
            _attribute("name", "The parts of the name.", "complex", subAttributes=_NAME),
            _attribute("emails", "E-mail addresses.", "complex", multiValued=True, subAttributes=_EMAIL),
        ],
    ),
    GROUP: (
        "Group",
        "People who share roles.",
        [
            _attribute("displayName", "The name.", required=True, uniqueness="server"),
            _EXTERNAL_ID,
            _attribute("members", "Who is in it.", "complex", multiValued=True, subAttributes=_MEMBER),
        ],
    ),
    ENTERPRISE: (
        "EnterpriseUser",
        "What a company knows of somebody.",
        [
            _attribute("employeeNumber", "The number."),
            _attribute("costCenter", "The cost centre."),
            _attribute("organization", "The organisation."),
            _attribute("division", "The division."),
            _attribute("department", "The department."),
            _attribute("manager", "The manager.", "complex", subAttributes=_MANAGER),
        ],
    ),
}
"""Schema → its name, what it is, and its attributes."""


def _types() -> list[dict[str, Any]]:
    extensions = {"schemaExtensions": [{"schema": ENTERPRISE, "required": False}]}
    kinds: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
        ("User", "/Users", CORE, extensions),
        ("Group", "/Groups", GROUP, {}),
    )
    return [
        {"schemas": [TYPE], "id": name, "name": name, "endpoint": endpoint, "schema": schema}
        | more
        | {"meta": _meta("ResourceType", "ResourceTypes", name)}
        for name, endpoint, schema, more in kinds
    ]


def _schemas() -> list[dict[str, Any]]:
    return [
        {"schemas": [SCHEMA], "id": schema, "name": name, "description": says, "attributes": attributes}
        | {"meta": _meta("Schema", "Schemas", schema)}
        for schema, (name, says, attributes) in _ATTRIBUTES.items()
    ]


def _named(resources: list[dict[str, Any]], name: str) -> dict[str, Any]:
    found = next((one for one in resources if one["id"].casefold() == name.casefold()), None)
    if found is None:
        raise NotFound(name)
    return found


def _meta(kind: str, *place: str) -> dict[str, str]:
    return {"resourceType": kind, "location": answers.address(*(place or (kind,)))}
