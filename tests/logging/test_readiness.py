import threading
import time

from app.logging import asking, readiness


def broken() -> bool:
    raise OSError("away")


def test_only_what_fails_is_named_in_order() -> None:
    checks = {"draining": lambda: False, "starting": lambda: True, "database": broken}

    assert readiness.failing(checks) == ["draining", "database"]


def test_a_declared_check_is_asked_until_it_is_withdrawn() -> None:
    readiness.declare("tested", lambda: False)
    declared = readiness.failing(readiness.declared())
    readiness.withdraw("tested")

    assert "tested" in declared
    assert "tested" not in readiness.declared()


def test_a_check_that_hangs_fails_in_time_and_is_not_asked_twice() -> None:
    released, asked = threading.Event(), []

    def hanging() -> bool:
        asked.append(1)
        return released.wait(30)

    began = time.monotonic()
    first, second = (readiness.failing({"database": hanging}, wait_s=0.1) for _ in range(2))
    took_s = time.monotonic() - began
    released.set()

    assert (first, second) == (["database"], ["database"])
    assert took_s < 1
    assert asked == [1]


def test_two_who_ask_at_once_share_the_answer() -> None:
    released = threading.Event()
    answers: list[dict[str, bool]] = []

    def slow() -> bool:
        return released.wait(30)

    threads = [threading.Thread(target=lambda: answers.append(asking.ask_all({"slow": slow}, 30))) for _ in range(2)]
    for thread in threads:
        thread.start()
    released.set()
    for thread in threads:
        thread.join()

    assert answers == [{"slow": True}, {"slow": True}]
