"""An event that cannot be billed stops nothing, shows, and can be taken again once the fault is repaired."""

import pytest
from flask import Flask

from app.billing import rejects
from app.billing.events import encode, stream_key
from app.billing.ingest import Batch
from app.units import bucket_of, bucket_tag
from tests.billing.books import Books, call


def test_one_malformed_event_among_a_thousand_is_set_aside_and_the_others_land(books: Books) -> None:
    workspace_id = books.workspace()
    events = [call(workspace_id) for _ in range(999)]
    books.put(*events[:500])
    books.put_raw(bucket_of(workspace_id), {"e": b'{"event_id": 7'})
    books.put(*events[500:])

    assert [Batch(read=1000, added=999, rejected=1)] == books.take()

    assert {event.event_id for event in events} == {row["event_id"] for row in books.rows()}
    (reject,) = books.rejects()
    assert (bucket_of(workspace_id), b'{"event_id": 7') == (reject["bucket"], reject["payload"])
    assert "`$.event_id`" in reject["reason"]
    assert books.rollups_from_rows() == books.rollups()


@pytest.mark.parametrize("times", [1, 2])
def test_after_the_repair_what_was_set_aside_is_billed_once(books: Books, times: int) -> None:
    event = call(books.workspace())
    books.owner.execute("alter table usage_event add constraint broken check (alias <> 'm') not valid")
    books.put(event)
    books.take()
    assert ([], 1) == (books.rows(), len(books.rejects()))
    books.owner.execute("alter table usage_event drop constraint broken")

    for _ in range(times):
        rejects.replay(books.ingest, books.redis)
        books.put(event)
    books.take()

    assert [event.event_id] == [row["event_id"] for row in books.rows()]
    assert [] == books.rejects()
    assert books.rollups_from_rows() == books.rollups()


def test_what_still_cannot_be_billed_is_set_aside_again(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejects, "AT_ONCE", 2)
    bucket = bucket_of(books.workspace())
    for _ in range(3):
        books.put_raw(bucket, {"e": b"{"})
    books.take()

    assert 3 == rejects.replay(books.ingest, books.redis)
    assert [] == books.rejects()
    books.take()

    assert [b"{"] * 3 == [row["payload"] for row in books.rejects()]


def test_what_is_set_aside_after_a_replay_began_stays_until_the_next(books: Books) -> None:
    books.owner.execute(
        "insert into ingest_reject (bucket, entry_id, payload, reason, rejected_at)"
        " values (1, '1-0', 'x', 'x', now() + interval '1 hour')"
    )

    assert 0 == rejects.replay(books.ingest, books.redis)

    assert 1 == len(books.rejects())


def test_a_replay_that_dies_before_its_commit_loses_nothing(books: Books) -> None:
    event = call(books.workspace())
    books.owner.execute(
        "insert into ingest_reject (bucket, entry_id, payload, reason) values (%s, '1-0', %s, 'x')",
        [bucket_of(event.workspace_id), encode(event)],
    )

    with books.ingest.transaction(force_rollback=True):
        rejects.replay(books.ingest, books.redis)
    assert 1 == len(books.rejects())
    rejects.replay(books.ingest, books.redis)
    books.take()

    assert [event.event_id] == [row["event_id"] for row in books.rows()]


def test_the_command_puts_them_back(app: Flask, books: Books) -> None:
    bucket = bucket_of(books.workspace())
    books.put_raw(bucket, {"e": b"{"})
    books.take()

    outcome = app.test_cli_runner().invoke(args=["replay-rejects"])

    assert outcome.output.startswith("1 events are back in their streams.")
    assert 1 == books.redis.xlen(stream_key(bucket_tag(bucket)))
