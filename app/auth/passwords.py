"""Passwords: hashed with Argon2id, checked in constant work.

A hash takes 64 MiB and some 50 ms, so few run at once, and none on the loop that streams answers.
"""

from collections.abc import Callable
from functools import cache
from typing import ParamSpec, TypeVar, cast

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from gevent import monkey
from gevent.threadpool import ThreadPool

from app.workspace.names import Invalid

SHORTEST = 12
LONGEST = 200
PARALLEL = 2

P = ParamSpec("P")
T = TypeVar("T")

_hasher = PasswordHasher()


def check(password: str) -> str:
    """Give a new password back, or raise `Invalid`. Length is what counts; there are no rules of composition."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise Invalid("password", f"must have {SHORTEST} to {LONGEST} characters")
    if len(set(password)) < 5:
        raise Invalid("password", "must not be the same few characters over and over")
    return password


def hash_of(password: str) -> str:
    """Hash a password for storage."""
    return _aside(_hasher.hash, password)


def matches(stored: str | None, password: str) -> bool:
    """Tell whether a password is the one stored. No stored one costs the same work and never matches."""
    found = _aside(_verify, stored or _nobodys(), password[: LONGEST + 1])
    return found and stored is not None


def is_dated(stored: str) -> bool:
    """Tell whether a hash was made with weaker parameters than those of today."""
    return _hasher.check_needs_rehash(stored)


@cache
def _nobodys() -> str:
    """A hash to check against when there is no account. No password of anybody matches it."""
    return _hasher.hash("nobody has this password, and it is thrown away below")


def _verify(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


def _aside(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Work in a real thread under gevent, so that the process's other requests go on."""
    pool = _pool()
    return work(*args, **kwargs) if pool is None else cast(T, pool.apply(work, args, kwargs))


@cache
def _pool() -> ThreadPool | None:
    return ThreadPool(PARALLEL) if monkey.is_module_patched("threading") else None
