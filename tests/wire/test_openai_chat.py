import json

import pytest

from app.wire import sse
from app.wire.clients import openai_chat
from app.wire.clients.openai_chat import DONE, Relay, usage_of
from app.wire.usage import Usage


def chunk(**members):
    return sse.event_of(json.dumps({"id": "c", "choices": [], **members}, separators=(",", ":")).encode())


def content(text, **members):
    return chunk(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": None}], **members)


FINISH = chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


@pytest.mark.parametrize(
    ("native", "expected"),
    [
        (USAGE, Usage(input=10, output=5)),
        (
            {
                "prompt_tokens": 2000,
                "completion_tokens": 60,
                "prompt_tokens_details": {"cached_tokens": 1500, "cache_write_tokens": 300, "audio_tokens": 50},
                "completion_tokens_details": {"reasoning_tokens": 40, "audio_tokens": 5},
            },
            Usage(
                input=150, cache_read=1500, cache_write_5m=300, input_audio=50, output=15, reasoning=40, output_audio=5
            ),
        ),
        (
            {
                "prompt_tokens": 7,
                "completion_tokens": 50,
                "total_tokens": 257,
                "completion_tokens_details": {"reasoning_tokens": 200},
            },
            Usage(input=7, output=50, reasoning=200),
        ),
        (
            {"prompt_tokens": 9, "prompt_cache_hit_tokens": 4, "completion_tokens": 1},
            Usage(input=5, cache_read=4, output=1),
        ),
        ({"prompt_tokens": "12", "completion_tokens": 3.0}, Usage(input=12, output=3)),
        (
            {"prompt_tokens": 5, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 9}},
            Usage(cache_read=9),
        ),
        ({"prompt_tokens": -5, "completion_tokens": 2}, Usage(output=2)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, Usage()),
    ],
)
def test_usage_is_read_into_disjoint_meters(native, expected):
    assert expected == usage_of(native)


@pytest.mark.parametrize(
    "native", [None, {}, [], "12", {"total_tokens": 4}, {"prompt_tokens": None}, {"prompt_tokens": True}]
)
def test_what_reports_nothing_is_no_usage(native):
    assert usage_of(native) is None


def test_bytes_that_hold_nothing_of_interest_pass_untouched():
    relay, run = Relay(hide_usage=True), content("a", usage=None) + content('"usage":{"x":1} "error" ')

    assert run == relay.take(run)
    assert (None, False, False, None) == (relay.usage(), relay.finished, relay.done, relay.error)


def test_the_usage_chunk_is_hidden_from_a_client_that_did_not_ask():
    relay = Relay(hide_usage=True)

    shown = relay.take(content("a") + FINISH + chunk(usage=USAGE) + DONE)

    assert content("a") + FINISH + DONE == shown
    assert Usage(input=10, output=5) == relay.usage()
    assert (relay.finished, relay.done) == (True, True)


def test_the_usage_chunk_reaches_a_client_that_asked_untouched():
    relay, run = Relay(hide_usage=False), content("a") + FINISH + chunk(usage=USAGE) + DONE

    assert run == relay.take(run)


def test_usage_inside_a_chunk_with_content_is_taken_out_and_the_rest_kept_to_the_digit():
    relay = Relay(hide_usage=True)
    event = b'id: 1\ndata: {"choices":[{"delta":{"content":"a"}}],"x":1.50,"usage":{"prompt_tokens":1,"completion_tokens":2}}'

    shown = relay.take(event + b"\n\n")

    assert b'id: 1\ndata: {"choices":[{"delta":{"content":"a"}}],"x":1.50}\n\n' == shown
    assert Usage(input=1, output=2) == relay.usage()


def test_cumulative_usage_is_set_and_never_added():
    relay = Relay(hide_usage=True)
    for tokens in (1, 2, 3):
        relay.take(content("a", usage={"prompt_tokens": 9, "completion_tokens": tokens}))
    relay.take(chunk(usage={"completion_tokens": 4}))

    assert Usage(input=9, output=4) == relay.usage()


def test_nothing_after_done_reaches_the_client():
    relay = Relay(hide_usage=True)

    assert content("a") + DONE == relay.take(content("a") + b"data:[DONE]\n\n" + content("b"))


def test_an_error_event_passes_unchanged_and_ends_the_stream():
    relay, failed = Relay(hide_usage=True), b'data: {"error":{"message":"overloaded","code":529}}\n\n'

    assert content("a") + failed == relay.take(content("a") + failed + content("b"))
    assert {"message": "overloaded", "code": 529} == relay.error


@pytest.mark.parametrize("texts", [["Hello"], ["Hel", "lo"], ["é", "日本"], ["x" * 3000] * 5])
def test_delivered_text_is_counted_in_bytes(texts):
    relay = Relay(hide_usage=True)
    for text in texts:
        relay.take(content(text))

    assert len("".join(texts).encode()) == relay.text_bytes()
    assert len("".join(texts).encode()) == relay.text_bytes()


def test_reasoning_refusals_and_tool_calls_count_as_delivered():
    delta = {
        "reasoning_content": "1234",
        "refusal": "56",
        "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}],
    }

    assert 9 == openai_chat.completion_text_bytes({"choices": [{"delta": delta}]})


def test_text_of_a_conversation_is_counted_without_its_images():
    parts = [{"type": "text", "text": "héllo"}, {"type": "image_url", "image_url": {"url": "data:" + "x" * 1000}}]

    assert 6 + 4 == openai_chat.text_bytes([{"role": "user", "content": parts}, {"role": "system", "content": "four"}])


def test_a_whole_answer_becomes_a_stream_that_says_the_same():
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    whole = {
        "id": "c",
        "model": "m",
        "created": 1,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "ok", "tool_calls": [call]},
                "finish_reason": "tool_calls",
            }
        ],
        "usage": USAGE,
    }

    events = [sse.data_of(event) for event in sse.events(openai_chat.stream_of(whole, with_usage=True))]

    chunks = [json.loads(data) for data in events[:-1]]
    assert b"[DONE]" == events[-1]
    assert {"role": "assistant", "content": "ok", "tool_calls": [{"index": 0, **call}]} == chunks[0]["choices"][0][
        "delta"
    ]
    assert ["tool_calls"] == [c["choices"][0]["finish_reason"] for c in chunks[1:2]]
    assert USAGE == chunks[2]["usage"]
    assert {"chat.completion.chunk"} == {c["object"] for c in chunks}


@pytest.mark.parametrize(
    ("member", "tier"),
    [("default", "standard"), ("priority", "priority"), ("flex", "flex"), ("auto", None), ("scale", None), (1, None)],
)
def test_the_tier_that_served_a_call_is_read_from_its_answer(member, tier):
    native = {"prompt_tokens": 1, "completion_tokens": 2}

    relay = openai_chat.Relay(hide_usage=False)
    relay.take(b'data: {"choices":[],"service_tier":%s,"usage":{"prompt_tokens":1}}\n\n' % json.dumps(member).encode())

    assert tier == openai_chat.usage_of(native, member).service_tier == relay.usage().service_tier
    assert tier == openai_chat.usage_of(native | {"service_tier": member}).service_tier
