from urllib.parse import urlsplit

import pytest

from app.provider.families.openai_compatible import bearer, endpoint, openai_compatible

CHAT = "/chat/completions"


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("http://stub", "http://stub/v1/chat/completions"),
        ("http://stub/", "http://stub/v1/chat/completions"),
        ("http://stub/v1", "http://stub/v1/chat/completions"),
        ("http://stub/v1/", "http://stub/v1/chat/completions"),
        ("http://stub:9900", "http://stub:9900/v1/chat/completions"),
        ("http://stub/api/v3", "http://stub/api/v3/chat/completions"),
        ("http://stub/api/v3//", "http://stub/api/v3/chat/completions"),
        (
            "http://stub/openai/deployments/d?api-version=2024-06-01",
            "http://stub/openai/deployments/d/chat/completions?api-version=2024-06-01",
        ),
        ("http://stub?key=1", "http://stub/v1/chat/completions?key=1"),
    ],
)
def test_a_base_address_is_joined_as_people_mean_it(base_url, expected):
    assert expected == endpoint(base_url, CHAT)


def test_a_request_is_renamed_and_dropped_into_a_new_body():
    adapter = openai_compatible("x", "http://x", rename={"seed": "random_seed"}, drop=frozenset({"user"}))
    body = {"model": "m", "seed": 7, "user": "u", "unknown": {"kept": [1]}}

    sent = adapter.request(body)

    assert sent == {"model": "m", "random_seed": 7, "unknown": {"kept": [1]}}
    assert body == {"model": "m", "seed": 7, "user": "u", "unknown": {"kept": [1]}}
    assert adapter.dropped(body) == ["user"]


def test_the_upstreams_own_name_wins_over_the_renamed_one():
    adapter = openai_compatible("x", "http://x", rename={"max_completion_tokens": "max_tokens"})

    assert adapter.request({"max_tokens": 5, "max_completion_tokens": 9}) == {"max_tokens": 5}
    assert adapter.request({"max_completion_tokens": 9, "max_tokens": 5}) == {"max_tokens": 5}


def test_a_secret_goes_into_one_header_and_no_secret_into_none():
    assert bearer("abc") == {"authorization": "Bearer abc"}
    assert bearer("") == {}


def test_an_account_may_have_its_own_address():
    adapter = openai_compatible("x", "https://x.example/v1")

    assert urlsplit(adapter.chat_url()).path == "/v1/chat/completions"
    assert adapter.chat_url("http://own") == "http://own/v1/chat/completions"
