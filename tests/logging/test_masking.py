import pytest

from app.logging import masking

SECRET = "Zq7Xw0Lk9Vb3Nn5Tt1"
SHAPES = [
    f"Authorization: Bearer {SECRET}",
    f"authorization=bearer {SECRET}",
    f"{{'Authorization': 'Bearer {SECRET}'}}",
    f'{{"Authorization": "Bearer {SECRET}"}}',
    f"[(b'authorization', b'Bearer {SECRET}')]",
    f"[('authorization', '{SECRET}')]",
    f"Illegal header value b'Bearer {SECRET}\\n'",
    f"Bearer\\t{SECRET}",
    f"Basic {SECRET}==",
    f"x-api-key: {SECRET}",
    f"api-key={SECRET}&x=1",
    f"https://api.example.test/v1?api_key={SECRET}",
    f"gw_abcd1234_{SECRET}_a1B2c3",
    f"key=gw_abcd1234_{SECRET}_a1B2c3 refused",
    f"sk-{SECRET}",
    f"sk-proj-{SECRET}-{SECRET}",
    f"(sk-{SECRET})",
    f"gsk_{SECRET}",
    f"xai-{SECRET}",
    f"eyJhbGciOiJIUzI1NiJ9.{SECRET}.{SECRET}",
    f"postgresql://app:{SECRET}@127.0.0.1:5432/gateway",
    f"postgresql://app:a@{SECRET}@127.0.0.1/gateway",
    f"postgresql://app:a/{SECRET}@127.0.0.1/gateway",
    f"postgresql://app:a:{SECRET}@127.0.0.1/gateway",
    f"redis://:{SECRET}@127.0.0.1:6379/0",
    f"password={SECRET}",
    f"connection failed: host=127.0.0.1 password='{SECRET}' user=app",
    f"SECRET_KEY={SECRET}",
    f"{{'api_key': '{SECRET}'}}",
    f"Cookie: session={SECRET}",
    f"insert failed [SQL: insert into x values (%(a)s)]\n[parameters: {{'a': '{SECRET}',\n 'b': '{SECRET}'}}]\n(Background on this error)",
    f"duplicate key value\nDETAIL:  Key (hash)=({SECRET}) already exists.",
]


@pytest.mark.parametrize("text", SHAPES)
def test_a_secret_in_text_is_masked(text: str) -> None:
    assert SECRET not in masking.text(text)
    assert masking.HIDDEN in masking.text(text)


def test_what_is_no_secret_stays_readable() -> None:
    plain = "GET https://api.example.test:8443/v1/models took 12 ms, tokens: 5, key gw_abcd1234, task sk-1, wrong password, try again"

    assert plain == masking.text(plain)


def test_a_generated_key_keeps_its_prefix() -> None:
    assert masking.text(f"gw_abcd1234_{SECRET}_a1B2c3") == "gw_abcd1234_***"


@pytest.mark.parametrize("name", ["authorization", "Authorization", "api-key", "x_api_key", "password", "secret_key"])
def test_a_value_with_a_secret_name_is_hidden_whole(name: str) -> None:
    assert masking.field(name, SECRET) == masking.HIDDEN
    assert {name: masking.HIDDEN} == masking.field("headers", {name: SECRET})


def test_numbers_and_nothing_pass() -> None:
    assert [masking.field("n", value) for value in (None, True, 5, 0.5)] == [None, True, 5, 0.5]


def test_masking_a_long_text_takes_no_long_time() -> None:
    assert masking.text("://" + "a:" * 20_000)
