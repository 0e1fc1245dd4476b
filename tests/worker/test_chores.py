"""Chores: each at its pace, each failing by itself."""

import logging

import psycopg
import pytest

from app.worker.chores import LONGEST_PAUSE_S, Chore


class Work:
    """Fails with each of some errors in turn, then works."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.done = list(errors), 0

    def __call__(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.done += 1


def test_a_chore_is_done_at_its_pace() -> None:
    work = Work()
    chore = Chore("counting", 5.0, work)

    for now_s in (10.0, 11.0, 14.9, 15.0, 15.1):
        chore.turn(now_s)

    assert 2 == work.done


@pytest.mark.parametrize("error", [psycopg.OperationalError(), TimeoutError(), KeyError("a fault of ours")])
def test_what_fails_is_tried_again_after_growing_pauses_and_says_so_once(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "worker")
    work = Work(*[error] * 20)
    chore, now_s, pauses = Chore("counting", 60.0, work), 0.0, []

    while not work.done:
        chore.turn(now_s)
        pauses.append(chore.due_s - now_s)
        now_s = chore.due_s

    assert [0.5, 1.0, 2.0, 4.0, *[LONGEST_PAUSE_S] * 16, 60.0] == pauses
    assert ["counting fails", "counting works again"] == [record.getMessage() for record in caplog.records]


def test_a_fault_of_ours_leaves_its_traceback_and_a_server_that_is_away_does_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Chore("one", 1.0, Work(KeyError("x"))).turn(0.0)
    Chore("other", 1.0, Work(psycopg.OperationalError())).turn(0.0)

    assert [True, False] == [bool(record.exc_info) for record in caplog.records]
