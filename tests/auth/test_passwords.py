import subprocess
import sys
import time

import pytest

from app.auth import passwords
from app.workspace.names import Invalid
from tests.gateway_process import ROOT

GOOD = "correct horse battery"

UNDER_GEVENT = """
from gevent import monkey
monkey.patch_all()
import gevent, threading
from app.auth import passwords
turns = []
def others():
    while True:
        turns.append(threading.get_ident())
        gevent.sleep(0.001)
gevent.spawn(others)
stored = passwords.hash_of("correct horse battery")
during = len(turns)
assert passwords.matches(stored, "correct horse battery")
assert not passwords.matches(stored, "wrong horse battery")
print(during)
"""


def test_a_hash_is_argon2id_and_matches_its_password_only():
    stored = passwords.hash_of(GOOD)

    assert stored.startswith("$argon2id$")
    assert passwords.matches(stored, GOOD)
    assert not passwords.matches(stored, GOOD.upper())
    assert stored != passwords.hash_of(GOOD)
    assert not passwords.is_dated(stored)


def test_no_stored_password_matches_nothing_and_costs_the_same_work():
    stored = passwords.hash_of(GOOD)
    passwords.matches(None, GOOD)

    known = min(seconds_of(stored) for _ in range(3))
    unknown = min(seconds_of(None) for _ in range(3))

    assert not passwords.matches(None, "nobody has this password, and it is thrown away below")
    assert known / 2 < unknown < known * 2


def seconds_of(stored):
    start = time.perf_counter()
    passwords.matches(stored, "wrong horse battery")
    return time.perf_counter() - start


def test_a_hash_of_another_kind_opens_nothing():
    assert not passwords.matches("$2b$12$abcdefghijklmnopqrstuv", GOOD)
    assert not passwords.matches("", "")


def test_a_hash_with_weaker_parameters_is_dated():
    assert passwords.is_dated("$argon2id$v=19$m=1024,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaA")


@pytest.mark.parametrize("password", ["", "elevenchars", "x" * 201, "aaaaaaaaaaaaaaaa", "abababababababab"])
def test_a_new_password_that_is_short_endless_or_dull_is_refused(password):
    with pytest.raises(Invalid) as refused:
        passwords.check(password)

    assert refused.value.field == "password"


@pytest.mark.parametrize("password", ["twelve chars", "пароль из слов 🔑", "x" * 190 + "abcdef"])
def test_any_long_enough_password_is_taken(password):
    assert password == passwords.check(password)


def test_hashing_does_not_hold_up_the_other_requests_of_a_process():
    command = [sys.executable, "-c", UNDER_GEVENT]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 5
    assert done.stderr == ""
