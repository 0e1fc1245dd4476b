"""What a process remembers of tokens, and what it asks each time."""

import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any
from uuid import uuid4

import gevent
import jwt
import pytest

from app.auth.signing_keys import FRESH_S, SigningKeys
from app.auth.workloads import Refused
from app.crypto import Vault
from app.gateway import tokens
from app.gateway.snapshot import Refresher
from app.gateway.tokens import REMEMBERED_S, Tokens
from tests.token_issuer import API, Issuer, IssuerServer

ROLE = "Models.Call"


@pytest.fixture(scope="module")
def server() -> Iterator[IssuerServer]:
    server = IssuerServer()
    yield server
    server.stop()


@pytest.fixture
def issuer(server: IssuerServer) -> Issuer:
    return server.issuer()


class Line:
    """The parts of a process that tokens need, and one key."""

    def __init__(self, issuer: Issuer) -> None:
        self.refresher = Refresher(nullcontext, None, Vault.of("a-secret-for-tests-of-enough-length"))  # type: ignore[arg-type]
        self.ahead_s = 0.0
        self.tokens = Tokens(self.refresher, SigningKeys(clock=lambda: time.monotonic() + self.ahead_s))
        self.row: dict[str, Any] = {
            "workspace_id": uuid4(),
            "application_id": uuid4(),
            "key_id": uuid4(),
            "kind": "workload",
            "active": True,
            "models": ["*"],
            "limit_requests_per_min": None,
            "expires_at": None,
            "timezone": "UTC",
            "networks": [],
            "secrets": [],
            "token_kind": issuer.kind,
            "token_authority": issuer.authority,
            "token_audience": API,
            "token_tenant": issuer.tenant,
            "token_claim": "app_role",
            "token_value": ROLE,
        }
        self.change()

    def change(self, **changes: Any) -> None:
        self.refresher.known.callers.update([self.row | changes])

    def find(self, token: str, *, after_s: float = 0.0) -> Any:
        return self.tokens.demand(token.encode(), time.time() + after_s)


@pytest.fixture
def line(issuer: Issuer) -> Line:
    return Line(issuer)


def test_a_token_is_verified_once(line: Line, issuer: Issuer) -> None:
    token = issuer.token(roles=[ROLE])
    first = line.find(token)
    issuer.rotate(keep=False)
    issuer.away = True

    assert [first] * 3 == [line.find(token) for _ in range(3)]
    assert (1, 1) == (line.tokens.remembered, issuer.asked)


def test_a_key_of_another_tenant_signs_for_no_program_of_this_one(line: Line, issuer: Issuer) -> None:
    template, another = issuer.newest, issuer.rotate()
    issuer.odd[template] = {"issuer": f"{issuer.authority}/{{tenantid}}/v2.0"}
    issuer.odd[another] = {"issuer": f"{issuer.authority}/11111111-2222-3333-4444-555555555555/v2.0"}

    assert line.find(issuer.token(roles=[ROLE], kid=template))
    with pytest.raises(Refused, match=r"\(iss\)"):
        line.find(issuer.token(roles=[ROLE], kid=another))


def test_so_many_tokens_are_remembered_and_no_more(line: Line, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST_REMEMBERED", 3)
    for _ in range(7):
        line.find(issuer.token(roles=[ROLE]))

    assert 3 == line.tokens.remembered


def test_tokens_that_are_refused_are_not_remembered(line: Line, issuer: Issuer) -> None:
    for changes in ({"exp": 1}, {"aud": "another"}, {"scp": "x"}):
        with pytest.raises(Refused):
            line.find(issuer.token(roles=[ROLE], **changes))

    assert 0 == line.tokens.remembered


def test_the_key_is_looked_up_each_time(line: Line, issuer: Issuer) -> None:
    token = issuer.token(roles=[ROLE])
    before = line.find(token)

    line.change(limit_requests_per_min=7)
    changed = line.find(token)
    line.change(active=False)

    assert (None, 7) == (before.requests_per_min, changed.requests_per_min)
    with pytest.raises(Refused):
        line.find(token)


def test_what_the_provider_takes_back_counts_for_remembered_tokens_too(line: Line, issuer: Issuer) -> None:
    token = issuer.token(roles=[ROLE])
    line.find(token)

    line.change(token_audience="another")

    with pytest.raises(Refused, match=r"\((aud|roles)"):
        line.find(token)


def test_when_an_issuer_takes_a_key_back_what_it_signed_is_refused(line: Line, issuer: Issuer) -> None:
    token = issuer.token(roles=[ROLE])
    line.find(token)
    issuer.rotate(keep=False)
    line.ahead_s = FRESH_S

    line.find(issuer.token(roles=[ROLE]))

    with pytest.raises(Refused, match="kid"):
        line.find(token)


def test_after_an_hour_a_token_is_verified_again(line: Line, issuer: Issuer) -> None:
    token = issuer.token(roles=[ROLE], exp=int(time.time()) + 90_000)
    line.find(token)
    issuer.rotate(keep=False)
    line.ahead_s = FRESH_S

    line.find(token, after_s=REMEMBERED_S - 1)
    asked = issuer.asked
    line.find(token, after_s=REMEMBERED_S)
    gevent.sleep(0)

    assert (1, 2) == (asked, issuer.asked)


@pytest.mark.parametrize("changes", [{"iss": "elsewhere"}, {"aud": "another"}, {"roles": ["Another.Role"]}])
def test_what_no_key_here_is_for_may_be_for_one_that_is_new(line: Line, issuer: Issuer, changes: Any) -> None:
    assert line.tokens.find(issuer.token(**{"roles": [ROLE]} | changes).encode(), time.time()) is None


def test_what_only_looks_like_a_token_may_be_a_key_that_is_new(line: Line, issuer: Issuer) -> None:
    of_another_kind = jwt.encode(issuer.claims(), "a" * 32, "HS256").encode()

    assert [None, None] == [line.tokens.find(raw, time.time()) for raw in (of_another_kind, b"eyJ-0123456789abcdef")]


def test_what_is_wrong_with_a_token_for_a_key_here_is_said_at_once(line: Line, issuer: Issuer) -> None:
    for changes in ({"exp": 1}, {"scp": "x"}, {"tid": "another"}):
        with pytest.raises(Refused):
            line.tokens.find(issuer.token(**{"roles": [ROLE]} | changes).encode(), time.time())


def test_a_disabled_provider_is_nobodys(line: Line, issuer: Issuer) -> None:
    line.change(token_kind=None, token_authority=None, token_audience=None)

    with pytest.raises(Refused, match="iss"):
        line.find(issuer.token(roles=[ROLE]))
