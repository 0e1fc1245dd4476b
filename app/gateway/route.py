"""Step 5: which deployments may answer, and in which order they are tried."""

from app.errors import Unavailable
from app.gateway.call import Call
from app.model.catalogue import Target


def plan(call: Call) -> list[Target]:
    """Order the targets of the call's alias; raise `Unavailable` when none has a usable secret."""
    targets = [target for target in call.alias.in_order() if target.head is not None]
    if not targets:
        raise Unavailable("No provider account of this model can be used now. Ask the gateway's administrator.")
    return targets
