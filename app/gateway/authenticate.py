"""Step 1: who is calling. The HMAC of the whole key is looked up in process memory."""

import time

from app.auth.callers import MANAGEMENT, Caller
from app.errors import NotAllowed, NotAuthenticated
from app.gateway.process import Process


def caller_of(process: Process, token: bytes) -> Caller:
    """Find the caller; raise `NotAuthenticated`, or `Unavailable` when an unknown key cannot be checked."""
    if not token:
        raise NotAuthenticated("No API key was given. Send it as 'Authorization: Bearer <key>'.")
    key_hash = process.vault.hash_key(token)
    now = time.time()
    caller = process.known.callers.find(key_hash, now)
    if caller is None:
        process.refresher.confirm()
        caller = process.known.callers.find(key_hash, now)
    if caller is None:
        raise NotAuthenticated("The API key is not valid: it is unknown, revoked or expired.")
    if caller.kind == MANAGEMENT:
        raise NotAllowed("A management key cannot call models. Use an application's API key.")
    return caller
