"""Streams: what arrives, how it ends, and what is billed for it."""

import json
import time
from decimal import Decimal

import pytest

from tests.factories import make_key
from tests.gateway.answers import (
    DONE,
    assert_failed_free,
    billed,
    error_of,
    errors_in,
    events,
    only_row,
    payloads,
    text_of,
    together,
)
from tests.gateway_process import Gateway
from tests.upstream import (
    END,
    HS,
    C,
    D,
    E,
    F,
    J,
    Request,
    Step,
    U,
    Upstream,
    close,
    delta,
    event,
    hold,
    rst,
    sleep,
    sse,
    stream,
    usage_of,
)


def test_a_stream_passes_through_and_is_billed(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    upstream.will(*stream("Hel", "lo"))

    answer = key.chat(stream=True)

    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/event-stream")
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-cache", "no")
    assert "content-length" not in answer.headers
    assert text_of(answer.text) == "Hello"
    assert payloads(answer.text)[-1] == DONE
    assert Decimal("0.00021") == billed(key)
    assert tuple(only_row(key)[name] for name in ("outcome", "streamed", "usage_source")) == ("done", True, "reported")


def test_bc_001_a_stream_that_goes_silent_is_ended(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream, timeouts={"first_byte_s": 20, "idle_s": 1})
    upstream.will(HS, C("a"), hold)

    answer = key.chat(stream=True)
    ended = time.monotonic()

    [request] = upstream.requests
    silent_since = request.sent[-1][0]
    assert 0.95 <= ended - silent_since < 4
    assert request.wait_closed(3) - silent_since < 4
    assert text_of(answer.text) == "a"
    assert len(errors_in(answer.text)) == 1
    assert DONE not in payloads(answer.text)
    row = only_row(key)
    assert (row["outcome"], row["usage_source"], row["billable"]) == ("timeout", "estimated", True)


def test_bc_001_a_slow_first_token_is_not_a_silent_stream(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream, timeouts={"first_byte_s": 20, "idle_s": 0.5})
    upstream.will(sleep(1.5), *stream("late"))

    answer = key.chat(stream=True)

    assert (answer.status_code, text_of(answer.text), payloads(answer.text)[-1]) == (200, "late", DONE)
    assert Decimal("0.00021") == billed(key)


def test_bc_001_a_first_byte_that_never_comes_is_a_timeout(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream, timeouts={"first_byte_s": 0.5, "idle_s": 20})
    upstream.will(hold)

    answer = key.chat(stream=True)

    assert answer.status_code == 504
    assert error_of(answer)["message"]
    assert upstream.requests[0].wait_closed(3)
    assert only_row(key)["outcome"] == "timeout"


def test_bc_002_an_error_as_first_event_is_an_honest_status(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    quota = {"message": "quota", "type": "insufficient_quota", "code": "insufficient_quota"}
    upstream.will(HS, event({"error": quota}), END)

    answer = key.chat(stream=True)

    assert answer.status_code in (429, 502)
    assert answer.status_code == 502 or quota["code"] == error_of(answer)["code"]
    assert error_of(answer)["message"]
    assert_failed_free(key)


def test_bc_003_a_rejected_stream_keeps_its_status_and_error(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    error = {"message": "bad tool", "type": "invalid_request_error", "param": "tools", "code": None}
    upstream.will(E(400, {"error": error}))

    answer = key.chat(stream=True)

    assert answer.status_code == 400
    assert error == error_of(answer)
    assert len(upstream.requests) == 1
    assert_failed_free(key)


def test_bc_004_one_plain_completion_is_no_false_stream(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    upstream.will(J(10, 100))

    answer = key.chat(stream=True)

    if answer.status_code == 502:
        assert error_of(answer)["message"]
        assert only_row(key)["outcome"] != "done"
    else:
        assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/event-stream")
        assert (text_of(answer.text), payloads(answer.text)[-1]) == ("ok", DONE)
        assert [r for e in events(answer.text) for c in e["choices"] if (r := c.get("finish_reason"))] == ["stop"]
        assert Decimal("0.00021") == billed(key)


@pytest.mark.parametrize(
    "body", [(sse(": ping\n\n"),), (), (D,), (U(0, 0), D)], ids=["a comment", "nothing", "only the end", "only usage"]
)
def test_bc_005_a_stream_without_an_event_is_a_failure(
    gateway: Gateway, upstream: Upstream, body: tuple[bytes, ...]
) -> None:
    key = make_key(gateway, upstream)
    upstream.will(HS, *body, END)

    answer = key.chat(stream=True)

    assert answer.status_code == 502
    assert error_of(answer)["message"]
    assert_failed_free(key)


def test_bc_006_a_line_of_a_megabyte_and_a_half_passes(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "x" * 1_500_000}}
    chunk = delta()
    chunk["choices"][0]["delta"] = {"tool_calls": [call]}
    line = f"data: {json.dumps(chunk)}"
    upstream.will(HS, sse(f"{line}\n\n"), F, U(10, 100), D, END)

    answer = key.chat(stream=True)

    assert line == max(answer.text.split("\n"), key=len)
    assert Decimal("0.00021") == billed(key)


def test_bc_007_lines_without_a_space_and_other_fields_are_read(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    first, last = json.dumps(delta("a")), json.dumps(delta("b", finish="stop", usage=usage_of(5, 2)))
    upstream.will(HS, sse(f"data:{first}\n\nevent: message\nid: 7\ndata:{last}\n\ndata:[DONE]\n\n"), END)

    answer = key.chat(stream=True)

    assert text_of(answer.text) == "ab"
    assert payloads(answer.text).count(DONE) == 1
    row = only_row(key)
    assert (row["input"], row["output"], row["outcome"]) == (5, 2, "done")


def test_bc_008_comments_never_become_data(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    waiting = sse(": OPENROUTER PROCESSING\n\n")
    upstream.will(HS, waiting, C("a"), waiting, C("b"), waiting, F, U(10, 100), D, END)

    answer = key.chat(stream=True)

    assert all("PROCESSING" not in payload for payload in payloads(answer.text))
    assert (text_of(answer.text), payloads(answer.text)[-1]) == ("ab", DONE)
    assert Decimal("0.00021") == billed(key)


def test_bc_009_azures_first_chunk_without_choices_passes_unchanged(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    filtered = '{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}'
    without_delta = {**delta(), "choices": [{"index": 0, "finish_reason": None}]}
    upstream.will(HS, sse(f"data: {filtered}\n\n"), event(without_delta), C("a"), F, U(3, 1), D, END)

    answer = key.chat(stream=True)

    assert answer.status_code == 200
    assert filtered == payloads(answer.text)[0]
    assert without_delta == events(answer.text)[1]
    assert text_of(answer.text) == "a"
    row = only_row(key)
    assert (row["input"], row["output"], row["usage_source"]) == (3, 1, "reported")


def test_bc_010_only_the_usage_is_taken_from_the_finish_chunk(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    finish = delta(finish="stop", usage=usage_of(10, 5))
    upstream.will(HS, C("a"), event(finish), D, END)

    answer = key.chat(stream=True)

    assert answer.text.endswith("\n\ndata: [DONE]\n\n")
    last = events(answer.text)[-1]
    assert {k: v for k, v in finish.items() if k != "usage"} == {k: v for k, v in last.items() if k != "usage"}
    assert not last.get("usage")
    row = only_row(key)
    assert (row["input"], row["output"]) == (10, 5)


@pytest.mark.parametrize("script", [stream("a", "b"), [HS, C("a"), close]], ids=["good", "cut"])
def test_bc_011_every_payload_is_one_that_clients_know(gateway: Gateway, upstream: Upstream, script: list) -> None:
    key = make_key(gateway, upstream, requests_per_min=1)
    upstream.will(*script)

    answer = key.chat(stream=True)

    assert answer.status_code == 200
    for payload in payloads(answer.text):
        said = {} if payload == DONE else json.loads(payload)
        chunk = said.get("object") == "chat.completion.chunk" and isinstance(said["choices"], list)
        assert payload == DONE or chunk or isinstance(said.get("error"), dict)


def test_bc_012_a_missing_done_is_added_once(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    upstream.will(HS, C("a"), F, END)

    answer = key.chat(stream=True)
    ended = time.monotonic()

    assert payloads(answer.text).count(DONE) == 1
    assert answer.text.endswith("data: [DONE]\n\n")
    assert ended - upstream.requests[0].sent[-1][0] < 1
    row = only_row(key)
    assert (row["outcome"], row["usage_source"], row["billable"]) == ("done", "estimated", True)
    assert row["input"] > 0
    assert row["output"] > 0


@pytest.mark.parametrize("ending", [rst, close, END], ids=["reset", "closed", "ended in order"])
def test_a_cut_stream_ends_in_an_error_and_is_billed_for_what_came(
    gateway: Gateway, upstream: Upstream, ending: object
) -> None:
    key = make_key(gateway, upstream)
    upstream.will(HS, C("one "), C("two "), sleep(0.1), ending)  # type: ignore[arg-type]

    answer = key.chat(stream=True)

    assert text_of(answer.text) == "one two "
    assert len(errors_in(answer.text)) == 1
    assert DONE not in payloads(answer.text)
    row = only_row(key)
    assert (row["outcome"], row["error_code"]) == ("upstream_error", "provider_truncated")
    assert (row["usage_source"], row["billable"]) == ("estimated", True)
    assert row["output"] > 0


def test_an_error_event_in_mid_stream_passes_and_fails_the_call(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    error = {"message": "overloaded", "type": "server_error", "code": 529}
    upstream.will(HS, C("a"), event({"error": error}), END)

    answer = key.chat(stream=True)

    assert [error] == errors_in(answer.text)
    assert DONE not in payloads(answer.text)
    row = only_row(key)
    assert row["outcome"] == "upstream_error"
    assert row["output"] > 0


def test_usage_is_hidden_unless_the_client_asked(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    upstream.always(*stream("a"))

    hidden = key.chat(stream=True)
    asked = key.chat(stream=True, stream_options={"include_usage": True})

    assert [r.json["stream_options"]["include_usage"] for r in upstream.requests] == [True, True]
    assert [e for e in events(hidden.text) if e.get("usage") or not e["choices"]] == []
    assert [usage_of(10, 100)] == [e["usage"] for e in events(asked.text) if not e["choices"]]


def test_events_arrive_within_50_ms(gateway: Gateway, upstream: Upstream) -> None:
    keys = [make_key(gateway, upstream, upstream_model=f"paced-{number}") for number in range(2)]
    for number in range(2):
        beats = [step for beat in range(4) for step in (sleep(1), C(str(beat)))]
        upstream.for_model(f"paced-{number}", HS, sleep(number / 2), *beats, F, U(10, 5), D, END)

    def arrivals(number: int) -> list[float]:
        with keys[number].streaming() as answer:
            return [time.monotonic() for data in answer.iter_raw() if b'"content"' in data]

    arrived = together(2, arrivals)
    late = sorted(
        (at - sent, beat)
        for request in upstream.requests
        for beat, (at, sent) in enumerate(zip(arrived[int(request.json["model"][-1])], beats_of(request), strict=True))
    )
    # The machine may be busy for a moment; two streams half a second apart are not late at the same beat.
    assert {beat for after, beat in late if after <= 0.05} == {0, 1, 2, 3}, late
    assert late[-1][0] <= 0.25, late


def beats_of(request: Request) -> list[float]:
    """When each content event was sent."""
    return [at for at, data in request.sent if b'"content"' in data]


def test_bytes_of_the_answer_pass_untouched(gateway: Gateway, upstream: Upstream) -> None:
    key = make_key(gateway, upstream)
    odd = 'data: {"object":"chat.completion.chunk", "x_vendor":1.50,"choices":[{"delta":{"content":"\\u00e9é"}}]}'
    upstream.will(HS, sse(f"{odd}\n\n"), F, U(1, 1), D, END)

    answer = key.chat(stream=True)

    assert odd == answer.text.split("\n")[0]


def test_fifteen_silent_seconds_are_bridged_with_comments(gateway: Gateway, upstream: Upstream) -> None:
    scripts: dict[str, list[Step]] = {
        "late": [HS, sleep(16), *stream("late")[1:]],
        "failing": [sleep(16), E(500, {"error": {"message": "no"}})],
        "stuck": [HS, C("a"), hold],
        "mute": [HS, hold],
    }
    timeouts = {"first_byte_s": 60, "idle_s": 17, "total_s": 40}
    keys = [make_key(gateway, upstream, upstream_model=name, timeouts=timeouts) for name in scripts]
    for name, script in scripts.items():
        upstream.for_model(name, *script)

    since = time.monotonic()
    late, failing, *silent = together(4, lambda number: keys[number].chat(stream=True))

    assert time.monotonic() - since < 25
    assert [answer.text.split("\n")[0][:1] for answer in (late, failing)] == [":", ":"]
    assert (text_of(late.text), payloads(late.text)[-1]) == ("late", DONE)
    assert (failing.status_code, len(errors_in(failing.text)), payloads(failing.text)[-1] == DONE) == (200, 1, False)
    assert "x-gateway-provider" not in failing.headers
    assert billed(keys[0]) == Decimal("0.00021")
    assert_failed_free(keys[1])
    assert [len(errors_in(answer.text)) for answer in silent] == [1, 1]
    assert [only_row(key)["outcome"] for key in keys[2:]] == ["timeout", "timeout"]
