"""Users: people as provisioning sees them. Deactivating one ends his sessions and suspends his keys."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import Response

from app.api.scim import answers, door, operations, paging, user_patch
from app.api.scim.door import blueprint, provisioning
from app.auth import scim_users
from app.auth.scim_documents import CORE
from app.auth.scim_users import User
from app.units import utc_now


@blueprint.get("/Users")
@provisioning
def list_users() -> Response:
    """List people, a page of them; all of them, or those who meet the filter."""
    start, count = paging.start(), paging.count()
    found = scim_users.page(door.provider_id(), paging.conditions(), offset=start - 1, limit=count)
    return answers.listed([resource(user) for user in found.users], total=found.total, start=start)


@blueprint.post("/Users")
@provisioning
def create_user() -> Response:
    """Make a person."""
    return answers.one(resource(scim_users.create(door.provider_id(), door.body(), now=utc_now())), 201)


@blueprint.get("/Users/<uuid:user_id>")
@provisioning
def show_user(user_id: UUID) -> Response:
    """Show a person, active or not."""
    return answers.one(resource(scim_users.get(door.provider_id(), user_id)))


@blueprint.put("/Users/<uuid:user_id>")
@provisioning
def replace_user(user_id: UUID) -> Response:
    """Put another document in a person's place."""
    wanted = door.body()
    changed = scim_users.change(door.provider_id(), user_id, lambda _: wanted, now=utc_now())
    return answers.one(resource(changed))


@blueprint.patch("/Users/<uuid:user_id>")
@provisioning
def change_user(user_id: UUID) -> Response:
    """Change parts of a person, all or none."""
    wanted = operations.read(door.body())
    edited = scim_users.change(
        door.provider_id(), user_id, lambda before: user_patch.apply(before, wanted), now=utc_now()
    )
    return answers.one(resource(edited))


@blueprint.delete("/Users/<uuid:user_id>")
@provisioning
def delete_user(user_id: UUID) -> Response:
    """Forget a person. The account is closed and stays for the books."""
    scim_users.delete(door.provider_id(), user_id, now=utc_now())
    return answers.nothing()


def resource(user: User) -> dict[str, Any]:
    """Write a person down as SCIM does."""
    schemas = [CORE, *(name for name in user.attributes if name.casefold().startswith("urn:"))]
    meta = {
        "resourceType": "User",
        "created": instant(user.created_at),
        "lastModified": instant(user.updated_at),
        "location": answers.address("Users", user.user_id),
    }
    return {"schemas": schemas, "id": str(user.user_id)} | user.document() | {"meta": meta}


def instant(at: datetime) -> str:
    """Write an instant as SCIM does, in UTC."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
