"""The official `openai` client, which nobody here wrote, against the gateway."""

from collections.abc import Iterator

import openai
import pytest
from openai.types.chat import ChatCompletionUserMessageParam

from tests.factories import Key, make_key
from tests.gateway.answers import billed
from tests.gateway_process import Gateway
from tests.local_model import LocalModel
from tests.upstream import HS, C, E, Upstream, close, hold, stream

ASKED: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Say hello."}]


@pytest.fixture
def key(gateway: Gateway, upstream: Upstream) -> Key:
    return make_key(gateway, upstream, timeouts={"first_byte_s": 1, "idle_s": 1})


@pytest.fixture
def client(key: Key) -> Iterator[openai.OpenAI]:
    with official(key) as client:
        yield client


def official(key: Key, secret: str | None = None) -> openai.OpenAI:
    http = openai.DefaultHttpxClient(trust_env=False)
    return openai.OpenAI(
        base_url=f"{key.gateway.url}/v1", api_key=secret or key.secret, max_retries=0, http_client=http
    )


def test_it_gets_a_completion(client: openai.OpenAI, key: Key) -> None:
    answer = client.chat.completions.create(model="m", messages=ASKED)

    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("ok", "stop")
    assert answer.usage is not None
    assert answer.usage.total_tokens == 110
    assert billed(key) * 100_000 == 21


def test_it_gets_a_stream(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.will(*stream("Hel", "lo"))

    chunks = list(client.chat.completions.create(model="m", messages=ASKED, stream=True))

    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "Hello"
    assert all(chunk.usage is None for chunk in chunks)


def test_it_sees_usage_when_it_asks(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.will(*stream("Hel", "lo"))

    answer = client.chat.completions.create(
        model="m", messages=ASKED, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(answer)

    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [110]
    assert chunks[-1].choices == []


def test_it_lists_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["m"]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (401, openai.InternalServerError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_it_raises_its_own_errors(
    client: openai.OpenAI, upstream: Upstream, status: int, error: type[openai.APIStatusError]
) -> None:
    upstream.will(E(status, {"error": {"message": "no", "type": "t", "param": None, "code": "c"}}))

    with pytest.raises(error) as raised:
        client.chat.completions.create(model="m", messages=ASKED)

    assert raised.value.request_id


def test_it_raises_for_a_wrong_key_and_model(key: Key, client: openai.OpenAI) -> None:
    with official(key, "gw_wrong") as stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    with pytest.raises(openai.NotFoundError, match="nope"):
        client.chat.completions.create(model="nope", messages=ASKED)


def test_it_raises_for_a_silent_upstream(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.will(hold)

    with pytest.raises(openai.InternalServerError) as raised:
        client.chat.completions.create(model="m", messages=ASKED)

    assert raised.value.status_code == 504


def test_it_raises_for_a_cut_stream(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.will(HS, C("a"), close)

    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model="m", messages=ASKED, stream=True))


@pytest.mark.model
def test_a_real_model_answers_and_is_billed_as_it_reports(gateway: Gateway, llama: LocalModel) -> None:
    key = make_key(gateway, llama.url, upstream_model=llama.model, provider_key=llama.api_key)

    with official(key) as client:
        answer = client.chat.completions.create(model="m", messages=ASKED, max_tokens=12)

    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert billed(key) * 1_000_000 == answer.usage.prompt_tokens + 2 * answer.usage.completion_tokens


@pytest.mark.model
def test_a_real_model_streams_and_is_billed_as_it_reports(gateway: Gateway, llama: LocalModel) -> None:
    key = make_key(gateway, llama.url, upstream_model=llama.model, provider_key=llama.api_key)

    with official(key) as client:
        answer = client.chat.completions.create(
            model="m", messages=ASKED, max_tokens=12, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(answer)

    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    [usage] = [chunk.usage for chunk in chunks if chunk.usage]
    [row] = gateway.settled(1, key)
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
    assert (row["input"], row["cache_read"], row["output"]) == (
        usage.prompt_tokens - (cached or 0),
        cached or 0,
        usage.completion_tokens,
    )
    assert row["usage_source"] == "reported"
