"""Step 1: who is calling. The HMAC of the whole key is looked up in process memory.

What is found there costs nothing more; only what is not, and looks like a token of an identity
provider, is taken for one.
"""

import time
from collections.abc import Callable

from app.auth import workloads
from app.auth.callers import MANAGEMENT, Caller
from app.errors import NetworkNotAllowed, NotAllowed, NotAuthenticated
from app.gateway.process import Process


def caller_of(process: Process, token: bytes, client_address: Callable[[], str]) -> Caller:
    """Find the caller; raise `NotAuthenticated`, or `Unavailable` when an unknown key cannot be checked.

    The client's address is only asked for where networks are limited; raise `NetworkNotAllowed` outside of them.
    """
    if not token:
        raise NotAuthenticated("No API key was given. Send it as 'Authorization: Bearer <key>'.")
    now = time.time()
    caller = process.known.callers.find(process.vault.hash_key(token), now)
    if caller is None:
        caller = _found_otherwise(process, token, now)
    if caller.kind == MANAGEMENT:
        error = NotAllowed("A management key cannot call models. Use an application's API key.")
        raise error.of_key(caller.workspace_id, caller.key_id)
    if caller.networks is not None and not caller.networks.hold(address := client_address()):
        outside = f"This key may not be used from {address}. Its workspace allows certain networks only."
        raise NetworkNotAllowed(outside).of_key(caller.workspace_id, caller.key_id)
    return caller


def _found_otherwise(process: Process, token: bytes, now: float) -> Caller:
    """Find who comes with what is no known key's newest hash: an older one, a token, or a key made just now."""
    tokens = process.tokens if token.startswith(workloads.BEGINNING) else None
    caller = _of_key(process, token, now) or (tokens.find(token, now) if tokens else None)
    if caller is None:
        process.refresher.confirm()
        caller = _of_key(process, token, now) or (tokens.demand(token, now) if tokens else None)
    if caller is None:
        raise _not_valid(process, token)
    return caller


def _not_valid(process: Process, token: bytes) -> NotAuthenticated:
    """Refuse a key, as the workspace's whose it was while this process remembers it: one that expired."""
    error = NotAuthenticated("The API key is not valid: it is unknown, revoked or expired.")
    past = process.known.callers.past(process.vault.hash_key(token))
    return error.of_key(past.workspace_id, past.key_id) if past else error


def _of_key(process: Process, token: bytes, now: float) -> Caller | None:
    hashes = (process.vault.hash_key(token), *process.vault.older_hashes(token))
    return next((caller for one in hashes if (caller := process.known.callers.find(one, now))), None)
