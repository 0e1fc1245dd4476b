"""The form of a key: whose it is, which models it may call, how often, and until when."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from app.application import keys, limits
from app.application.keys import ALL_MODELS, Key, KeyChange, Limits, NewKey
from app.auth import key_owners
from app.console import forms
from app.console.forms import Form


def of(key: Key, timezone: str) -> Form:
    """Show a key as it is."""
    rate = key.limits.requests_per_min
    every = ALL_MODELS in key.models
    return forms.empty(
        name=key.name,
        models=ALL_MODELS if every else "some",
        model=named(key.models),
        requests_per_min="" if rate is None else str(rate),
        expires_at=forms.wall_clock(key.expires_at, timezone),
        owner=str(key.owner_id or ""),
    )


def read(form: Form, timezone: str, key: Key | None = None) -> KeyChange:
    """Read what the form may set. What nothing holds yet is not in it, and stays as the key has it."""
    before = key.limits if key else Limits()
    given = replace(before, requests_per_min=form.whole("requests_per_min"))
    with form.refusals():
        limits.check(given)
    expires_at = form.instant("expires_at", timezone, before=key.expires_at if key else None)
    wanted = KeyChange(name=form.text("name"), models=_models(form), limits=given, expires_at=expires_at)
    return KeyChange(**wanted, owner_id=_owner(form)) if "owner" in form.values else wanted


def make(workspace_id: UUID, application_id: UUID | None, key_id: UUID, wanted: KeyChange) -> NewKey:
    """Make the key that the form describes."""
    return key_owners.create(
        workspace_id,
        application_id,
        wanted["name"],
        models=wanted["models"],
        limits=wanted["limits"],
        expires_at=wanted["expires_at"],
        owner_id=wanted.get("owner_id"),
        key_id=key_id,
    )


def named(listed: Sequence[str]) -> list[str]:
    """Leave out what stands for every model."""
    return [name for name in listed if name != ALL_MODELS]


def owners(workspace_id: UUID, key: Key | None = None) -> list[tuple[str, str]]:
    """The people whom a key can be given, as a form's choice; nobody is the first one."""
    people = key_owners.choices(workspace_id, besides=key.owner_id if key else None)
    return [("", "Nobody in particular"), *((str(one.user_id), f"{one.name}, {one.email}") for one in people)]


def _owner(form: Form) -> UUID | None:
    raw = form.text("owner")
    try:
        return UUID(raw) if raw else None
    except ValueError:
        form.problems["owner"] = "must be a member of this workspace"
        return None


def _models(form: Form) -> list[str]:
    """Read the models. Nothing ticked is never every model: that has to be said."""
    if form.text("models") == ALL_MODELS:
        return [ALL_MODELS]
    ticked = form.values.getlist("model")
    if not ticked:
        form.problems["models"] = "tick at least one model, or choose every model"
    with form.refusals():
        return keys.check_models(ticked)
    return []
