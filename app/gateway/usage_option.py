"""Which deployments refuse the usage option that the gateway adds to streams; part of step 7.

Each process finds out by itself, and forgets after an hour or when the catalogue changes the deployment.
"""

from uuid import UUID

from app.model.catalogue import Target

REMEMBERED_S = 3600.0

_refusing: dict[UUID, tuple[Target, float]] = {}


def is_refused_by(target: Target, now: float) -> bool:
    """Tell whether a target is known to refuse the option; `now` is monotonic seconds."""
    found = _refusing.get(target.deployment_id)
    if found is None:
        return False
    known, until = found
    if now < until and known == target:
        return True
    _refusing.pop(target.deployment_id, None)
    return False


def note_refusal(target: Target, now: float) -> None:
    """Remember that a target answers without the option what it refuses with it."""
    _refusing[target.deployment_id] = target, now + REMEMBERED_S
