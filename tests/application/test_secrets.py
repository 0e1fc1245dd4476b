import re

import pytest

from app.application import secrets
from app.workspace.names import Invalid


def test_a_generated_key_shows_what_it_is_and_checks_itself():
    key = secrets.generate()

    stem, _, checksum = key.token.rpartition("_")
    assert re.fullmatch(r"gw_[0-9A-Za-z]{8}_[0-9A-Za-z]{36}_[0-9A-Za-z]{6}", key.token)
    assert checksum == secrets.checksum(stem)
    assert (key.token[:11], key.token[-4:]) == (key.prefix, key.last4)


def test_no_two_generated_keys_are_the_same():
    assert len({secrets.generate().token for _ in range(1000)}) == 1000


def test_a_changed_letter_changes_the_checksum():
    assert secrets.checksum("gw_aaaaaaaa_b") != secrets.checksum("gw_aaaaaaaa_c")


def test_a_given_key_shows_four_letters_at_each_end():
    key = secrets.given("sk-0123456789-abcdefgh")

    assert (key.prefix, key.last4) == ("sk-0", "efgh")
    assert "0123456789" not in repr(key)


@pytest.mark.parametrize(
    "token", ["short", "x" * 19, "x" * 513, "has a space in the middle", "lätter-of-another-kind", "a" * 20 + "\n"]
)
def test_a_given_key_that_is_short_or_cannot_travel_in_a_header_is_refused(token):
    with pytest.raises(Invalid, match="secret: must "):
        secrets.given(token)
