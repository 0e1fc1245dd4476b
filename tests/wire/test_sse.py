import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.wire import sse


def fed(*reads):
    splitter = sse.Splitter()
    runs = [splitter.feed(read) for read in reads]
    return runs, splitter.rest()


def test_an_event_is_handed_on_when_its_empty_line_is_there():
    runs, rest = fed(b"data: a\n", b"\ndata: b\n\nda", b"ta: c")

    assert [b"", b"data: a\n\ndata: b\n\n", b""] == runs
    assert b"data: c" == rest


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_every_line_ending_of_the_specification_ends_an_event(ending):
    runs, rest = fed(b"data: a" + ending, ending, b"data: b" + ending + ending)

    assert b"data: a" + ending * 2 + b"data: b" + ending * 2 == b"".join(runs) + rest
    assert [b"a", b"b"] == [sse.data_of(event) for event in sse.events(b"".join(runs))]


def test_a_carriage_return_split_from_its_newline_is_no_boundary():
    runs, _ = fed(b'data: {"a":\r', b"\ndata: 1}\r\n\r\n")

    assert b"" == runs[0]
    assert [b'{"a":\n1}'] == [sse.data_of(event) for event in sse.events(runs[1])]


@given(st.binary(max_size=60), st.lists(st.integers(1, 7), max_size=30))
def test_no_byte_is_lost_or_changed_however_the_stream_is_cut(stream, sizes):
    reads, left = [], stream
    for size in sizes:
        reads.append(left[:size])
        left = left[size:]

    runs, rest = fed(*reads, left)

    assert stream == b"".join(runs) + rest


@given(st.lists(st.text('ab{}:"', min_size=1, max_size=8), min_size=1, max_size=6), st.integers(1, 9))
def test_every_event_is_found_however_the_stream_is_cut(texts, size):
    stream = b"".join(sse.event_of(text.encode()) for text in texts)

    runs, _ = fed(*(stream[at : at + size] for at in range(0, len(stream), size)))

    assert [text.encode() for text in texts] == [sse.data_of(event) for event in sse.events(b"".join(runs))]


def test_data_is_read_with_or_without_the_space_and_amid_other_fields():
    assert b"x" == sse.data_of(b"data:x")
    assert b"x" == sse.data_of(b"data: x")
    assert b"x\ny" == sse.data_of(b"event: message\nid: 7\ndata: x\nretry: 10\ndata:y")
    assert b"x" == sse.data_of(b"\xef\xbb\xbfdata: x")
    assert b"" == sse.data_of(b"data")


def test_comments_and_other_fields_alone_hold_no_data():
    assert sse.data_of(b": keep-alive") is None
    assert sse.data_of(b"id: 7\nretry: 10") is None
    assert sse.data_of(b"database: x") is None


def test_other_data_leaves_an_events_other_lines_alone():
    assert b"event: message\nid: 7\ndata: new\n\n" == sse.with_data(b"event: message\nid: 7\ndata: old", b"new")


def test_an_event_that_never_ends_is_refused(monkeypatch):
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1000)
    splitter = sse.Splitter()
    splitter.feed(b"data: " + b"x" * 990)

    with pytest.raises(sse.EventTooLarge):
        splitter.feed(b"x" * 10)
