"""Groups, and who is in them. Members are told when one group is asked for; in lists, when asked for by name."""

from typing import Any
from uuid import UUID

from flask import Response

from app.api.scim import answers, door, group_patch, operations, paging
from app.api.scim.door import blueprint, provisioning
from app.api.scim.users import instant
from app.auth import scim_groups
from app.auth.scim_groups import Group
from app.units import utc_now

CORE = "urn:ietf:params:scim:schemas:core:2.0:Group"


@blueprint.get("/Groups")
@provisioning
def list_groups() -> Response:
    """List groups, a page of them; all of them, or those that meet the filter."""
    start, count, with_members = paging.start(), paging.count(), answers.is_named("members")
    found = scim_groups.page(
        door.provider_id(), paging.conditions(), offset=start - 1, limit=count, with_members=with_members
    )
    return answers.listed([resource(group) for group in found.groups], total=found.total, start=start)


@blueprint.post("/Groups")
@provisioning
def create_group() -> Response:
    """Make a group, with its members when they are there already."""
    steps = group_patch.of_document(door.body(), new=True)
    return answers.one(resource(scim_groups.create(door.provider_id(), steps, now=utc_now())), 201)


@blueprint.get("/Groups/<uuid:group_id>")
@provisioning
def show_group(group_id: UUID) -> Response:
    """Show a group."""
    return _shown(group_id)


@blueprint.put("/Groups/<uuid:group_id>")
@provisioning
def replace_group(group_id: UUID) -> Response:
    """Put another document in a group's place, its members too."""
    steps = group_patch.of_document(door.body(), new=False)
    scim_groups.change(door.provider_id(), group_id, steps, now=utc_now())
    return _shown(group_id)


@blueprint.patch("/Groups/<uuid:group_id>")
@provisioning
def change_group(group_id: UUID) -> Response:
    """Change parts of a group, all or none; answers with nothing, since it may be large."""
    steps = group_patch.of_operations(operations.read(door.body()))
    scim_groups.change(door.provider_id(), group_id, steps, now=utc_now())
    return answers.nothing()


@blueprint.delete("/Groups/<uuid:group_id>")
@provisioning
def delete_group(group_id: UUID) -> Response:
    """Remove a group. Its people stay."""
    scim_groups.delete(door.provider_id(), group_id)
    return answers.nothing()


def _shown(group_id: UUID) -> Response:
    with_members = answers.is_wanted("members")
    return answers.one(resource(scim_groups.get(door.provider_id(), group_id, with_members=with_members)))


def resource(group: Group) -> dict[str, Any]:
    """Write a group down as SCIM does."""
    own: dict[str, Any] = {"externalId": group.external_id} if group.external_id else {}
    own["displayName"] = group.display_name
    if group.members is not None:
        own["members"] = [
            {"value": str(one.user_id), "display": one.user_name, "$ref": answers.address("Users", one.user_id)}
            for one in group.members
        ]
    meta = {
        "resourceType": "Group",
        "created": instant(group.created_at),
        "lastModified": instant(group.updated_at),
        "location": answers.address("Groups", group.group_id),
    }
    return {"schemas": [CORE], "id": str(group.group_id)} | own | {"meta": meta}
