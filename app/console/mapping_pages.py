"""What the pages of mappings show and do, in a workspace and for the platform: only the place and the roles differ.

A change is asked for, then shown as a dry run, then saved. The form that saves carries the digest of the dry
run, so nothing is saved that nobody has seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import Response, request, url_for

from app.auth import mappings, users
from app.auth.mappings import Change, Outdated, Rule
from app.console import forms, render
from app.console.forms import Form
from app.console.guard import here
from app.units import PLATFORM_ID
from app.workspace import members
from app.workspace.members import By
from app.workspace.names import Invalid

TEMPLATE = "console/mappings.html"
FIELDS = ("new_id", "provider", "kind", "value", "label", "role")
MOST_SHOWN = 100
"""People named in a part of a dry run; it counts all of them."""
CHANGED_SINCE = "Something has changed since you saw this. This is what would happen now."


@dataclass(frozen=True, slots=True)
class Effects:
    """A dry run as people read it: each part a list of changes."""

    gain: list[Change]
    lose: list[Change]
    kept: list[Change]
    same: list[Change]
    people: dict[UUID, Any]
    digest: str


def index(place: UUID) -> Response:
    """List the mappings of a place."""
    return render.page(TEMPLATE, block="rows", view="list", found=mappings.of(place), **_about(place))


def new(place: UUID) -> Response:
    """Show the form, with what was typed into it before."""
    given = forms.empty(**({"kind": "app_role", "new_id": str(forms.fresh_id())} | _typed(Form(request.args))))
    return render.page(TEMPLATE, block="form", view="form", given=given, mapping=None, **_about(place))


def show(place: UUID, mapping_id: UUID) -> Response:
    """Show a mapping's form, with what was typed into it before."""
    mapping = mappings.get(place, mapping_id)
    mappings.check_may(place, mapping.rule, by=_by())
    rule = mapping.rule
    stored = forms.empty(
        provider=str(rule.provider_id), kind=rule.kind, value=rule.value, label=rule.label or "", role=rule.role
    )
    given = Form(request.args) if "value" in request.args else stored
    return render.page(TEMPLATE, block="form", view="form", given=given, mapping=mapping, **_about(place))


def preview(place: UUID, mapping_id: UUID | None = None) -> Response:
    """Show who would gain or lose what, and the button that saves it."""
    mapping = mappings.get(place, mapping_id) if mapping_id else None
    form = Form(request.args)
    with form.refusals():
        rule = mappings.check(place, _rule(form), by=_by())
        mappings.check_only_one(place, rule, besides=mapping_id)
        return _dry_run(place, rule, form, mapping)
    return render.problem(TEMPLATE, block="form", view="form", given=form, mapping=mapping, **_about(place))


def save(place: UUID, mapping_id: UUID | None = None) -> Response:
    """Do what the dry run has shown; show it again when it is no longer what would happen."""
    mapping = mappings.get(place, mapping_id) if mapping_id else None
    form = forms.sent()
    with form.refusals():
        rule = _rule(form)
        try:
            if mapping:
                mappings.change(place, mapping.mapping_id, rule, by=_by(), shown=form.text("shown"))
            else:
                own = forms.row_id(place, form)
                mappings.add(place, rule, by=_by(), mapping_id=own, shown=form.text("shown"))
        except Outdated:
            return _dry_run(place, mappings.check(place, rule, by=_by()), form, mapping, status=409)
        return render.leave(address(place, "index"), toast="The mapping is saved.")
    return render.problem(TEMPLATE, block="form", view="form", given=form, mapping=mapping, **_about(place))


def confirm_removal(place: UUID, mapping_id: UUID) -> Response:
    """Show who would lose what without a mapping."""
    mapping = mappings.get(place, mapping_id)
    mappings.check_may(place, mapping.rule, by=_by())
    return _dry_run(place, None, forms.empty(), mapping)


def remove(place: UUID, mapping_id: UUID) -> Response:
    """Take a mapping away, as the dry run has shown."""
    mapping = mappings.get(place, mapping_id)
    try:
        mappings.remove(place, mapping_id, by=_by(), shown=forms.sent().text("shown"))
    except Outdated:
        return _dry_run(place, None, forms.empty(), mapping, status=409)
    return render.leave(address(place, "index"), toast="The mapping is removed.")


def address(place: UUID, view: str, mapping_id: UUID | None = None, **query: Any) -> str:
    """Where a page of mappings is."""
    if place == PLATFORM_ID:
        return url_for(f"platform_mappings.{view}", platform_mapping_id=mapping_id, **query)
    return url_for(f"mappings.{view}", workspace_id=place, mapping_id=mapping_id, **query)


def _dry_run(
    place: UUID, rule: Rule | None, form: Form, mapping: mappings.Mapping | None, *, status: int = 200
) -> Response:
    """Show what a rule would do in the place of a mapping; no rule: what its removal would do."""
    instead_of = mapping.mapping_id if mapping else None
    changes = mappings.preview(place, mappings.proposed(place, rule, instead_of=instead_of))
    values: dict[str, Any] = {"effects": _effects(changes), "rule": rule, "typed": _typed(form), "mapping": mapping}
    about = _about(place) | {"problem": CHANGED_SINCE if status != 200 else None}
    return render.page(TEMPLATE, block="dry_run", view="dry_run", status=status, **values, **about)


def _typed(form: Form) -> dict[str, str]:
    return {name: form.text(name) for name in FIELDS if form.text(name)}


def _effects(changes: Sequence[Change]) -> Effects:
    gain = [one for one in changes if one.gains]
    lose = [one for one in changes if one.loses]
    kept = [one for one in changes if one.kept]
    same = [one for one in changes if one.before == one.after and not one.kept]
    named = [*gain[:MOST_SHOWN], *lose[:MOST_SHOWN], *kept]
    people = users.of([one.user_id for one in named])
    return Effects(gain, lose, kept, same, people, mappings.digest(changes))


def _rule(form: Form) -> Rule:
    """Read the form; raise `Invalid` when it names no provider."""
    try:
        provider_id = UUID(form.text("provider"))
    except ValueError as error:
        raise Invalid("provider", "must be chosen") from error
    label = form.text("label") or None
    return Rule(
        provider_id=provider_id, kind=form.text("kind"), value=form.text("value"), role=form.text("role"), label=label
    )


def _about(place: UUID) -> dict[str, Any]:
    """Everything the pages show beside the mappings themselves."""
    found = mappings.directories(place)
    return {
        "place": place,
        "is_platform": place == PLATFORM_ID,
        "directories": found,
        "names": {one.provider_id: one.name for one in found},
        "may_give": _may_give(place),
        "address": address,
        "most_shown": MOST_SHOWN,
        "problem": None,
    }


def _may_give(place: UUID) -> list[str]:
    if not here().may("platform.manage" if place == PLATFORM_ID else "mappings.manage"):
        return []
    if place == PLATFORM_ID:
        return list(mappings.roles_in(place))
    return [role for role in members.ROLES if members.rank(role) >= members.rank(_by().role)]


def _by() -> By:
    """Who changes mappings, and as what: the platform's admin acts as an owner, in the platform's place too."""
    found = here()
    return By(user_id=found.person.user_id, role=found.role or "owner")
