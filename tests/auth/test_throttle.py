import threading
from datetime import timedelta

import pytest
from sqlalchemy import text

from app.auth import throttle
from app.auth.throttle import Wait
from app.extensions import transaction
from app.units import PLATFORM_ID, utc_now

JANE, HOME, ELSEWHERE = "jane@example.test", "203.0.113.7", "198.51.100.9"
NOW = utc_now()

pytestmark = pytest.mark.usefixtures("app")


def fail(times, *, email=JANE, ip=ELSEWHERE, now=NOW):
    for _ in range(times):
        throttle.begin(email, ip, now=now)


def wait_of(*, email=JANE, ip=ELSEWHERE, now=NOW):
    """The seconds until a try is looked at; 0 when it was."""
    try:
        throttle.begin(email, ip, now=now)
    except Wait as wait:
        return (wait.until - now).total_seconds()
    return 0


def seconds(count):
    return timedelta(seconds=count)


def test_five_failures_are_free_and_the_sixth_try_waits():
    fail(5)

    assert 5 == wait_of()
    assert 1 == wait_of(now=NOW + seconds(4))
    assert 0 == wait_of(now=NOW + seconds(5))


def test_the_wait_doubles_and_never_exceeds_a_quarter_of_an_hour():
    now, waits = NOW, []
    fail(5)
    for _ in range(12):
        waits.append(wait_of(now=now))
        now += seconds(waits[-1])
        assert 0 == wait_of(now=now)

    assert [5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900, 900] == waits


def test_a_try_that_comes_too_early_is_not_counted():
    fail(5)
    for _ in range(20):
        wait_of()

    assert 5 == wait_of()


def test_another_address_is_not_held_up():
    fail(5)

    assert 0 == wait_of(email="john@example.test")


def test_a_success_lets_earlier_failures_be_forgotten():
    fail(4)
    throttle.succeeded(throttle.begin(JANE, ELSEWHERE, now=NOW + seconds(1)))

    fail(5, now=NOW + seconds(2))
    assert 5 == wait_of(now=NOW + seconds(2))


def test_failures_elsewhere_do_not_hold_up_who_has_signed_in_from_here_before():
    throttle.succeeded(throttle.begin(JANE, HOME, now=NOW - timedelta(days=2)))
    for attacker in range(40):
        wait_of(ip=f"198.51.100.{attacker}")

    assert wait_of(ip=ELSEWHERE) > 0
    assert 0 == wait_of(ip=HOME)


def test_failures_are_forgotten_after_a_day():
    fail(5, now=NOW - timedelta(hours=25))

    assert 0 == wait_of()


def test_one_network_that_tries_many_addresses_waits():
    for number in range(20):
        fail(1, email=f"person-{number}@example.test", ip=HOME)

    assert 5 == wait_of(email="another@example.test", ip=HOME)
    assert 0 == wait_of(email="another@example.test", ip=ELSEWHERE)


def test_a_success_of_ones_own_does_not_let_a_network_go_on():
    for number in range(19):
        fail(1, email=f"person-{number}@example.test", ip=HOME)
    throttle.succeeded(throttle.begin("attacker@example.test", HOME, now=NOW))
    fail(1, email="person-20@example.test", ip=HOME)

    assert 5 == wait_of(email="another@example.test", ip=HOME)


def test_an_ipv6_network_is_one_however_many_addresses_it_has():
    fail(5, ip="2001:db8:1:2::1")

    assert throttle.network_of("2001:db8:1:2::1") == throttle.network_of("2001:db8:1:2:ffff::9")
    assert throttle.network_of("2001:db8:1:2::1") != throttle.network_of("2001:db8:1:3::1")
    assert "203.0.113.7" == throttle.network_of("::ffff:203.0.113.7")
    assert "unknown" == throttle.network_of("")


@pytest.mark.parametrize(("same", "free"), [("address", 5), ("network", 20)])
def test_tries_at_once_are_counted_before_any_of_them_is_looked_at(app, same, free):
    outcomes = []

    def attempt(number, same):
        with app.app_context():
            here = {"ip": f"198.51.100.{number}"} if same == "address" else {"email": f"person-{number}@example.test"}
            outcomes.append(wait_of(**here))

    threads = [threading.Thread(target=attempt, args=(number, same)) for number in range(free + 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert free == outcomes.count(0)
    assert free + 7 == len(outcomes)


def test_addresses_are_stored_hashed_and_not_for_ever():
    fail(1, now=NOW - timedelta(days=31))
    fail(1)

    with transaction(PLATFORM_ID) as session:
        rows = session.execute(text("select * from sign_in_attempt")).mappings().all()
    assert len(rows) == 1
    assert b"jane" not in rows[0]["address_hash"]
