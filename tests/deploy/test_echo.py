"""The echo upstream, as a client sees it."""

import json
import threading

import httpx
import pytest

from deploy.local.echo import EchoServer

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": None},
    {"role": "user", "content": [{"type": "text", "text": "say  this again"}]},
]


@pytest.fixture(scope="module")
def echo():
    with EchoServer(0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        with httpx.Client(base_url=url, headers={"Authorization": "Bearer any"}, trust_env=False) as client:
            yield client
        server.shutdown()
        thread.join()


def test_it_repeats_the_last_thing_the_user_said_and_counts_words(echo):
    answer = echo.post("/chat/completions", json={"model": "echo", "messages": MESSAGES})

    choice = answer.json()["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "say  this again"}
    assert choice["finish_reason"] == "stop"
    assert answer.json()["usage"] == {"prompt_tokens": 6, "completion_tokens": 3, "total_tokens": 9}


@pytest.mark.parametrize(("options", "usage"), [({}, []), ({"include_usage": True}, [9])])
def test_a_stream_has_several_pieces_and_usage_only_when_asked(echo, options, usage):
    body = {"model": "echo", "messages": MESSAGES, "stream": True, "stream_options": options}

    answer = echo.post("/chat/completions", json=body)

    *events, last = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    chunks = [json.loads(event) for event in events]
    pieces = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"]]
    assert last == "[DONE]"
    assert len([piece for piece in pieces if piece]) > 2
    assert "".join(pieces) == "say  this again"
    assert usage == [chunk["usage"]["total_tokens"] for chunk in chunks if chunk.get("usage")]


def test_it_lists_its_model(echo):
    assert [model["id"] for model in echo.get("/models").json()["data"]] == ["echo"]


def test_a_call_without_a_key_is_refused(echo):
    answer = echo.post("/chat/completions", json={"messages": MESSAGES}, headers={"Authorization": ""})

    assert answer.status_code == 401


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"messages": 1}', b'{"messages": ["x"]}', b'{"messages": [{}]}'])
def test_a_wrong_body_is_an_error_and_the_connection_lives_on(echo, body):
    assert echo.post("/chat/completions", content=body).status_code == 400
    assert echo.get("/models").status_code == 200


def test_other_addresses_are_not_there(echo):
    assert echo.get("/chat/completions").status_code == 404
    assert echo.post("/models", json={}).status_code == 404
