"""Programs without an API key: a token of their identity provider stands for one."""

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from app.application import applications, keys, workload_keys
from app.application.tokens import Token
from app.units import new_id, utc_now
from app.workspace.names import Invalid
from tests.factories import Key, knows, make_key, unique, wait_until_known
from tests.gateway.answers import billed, error_of, together
from tests.gateway_process import Gateway, eventually
from tests.token_issuer import API, Issuer, IssuerServer
from tests.upstream import Upstream

ROLE = "Models.Call"
STRANGERS_KEY = rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def issuers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerServer]:
    server = IssuerServer(tmp_path_factory.mktemp("issuers"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def line(servers: Any, issuers: IssuerServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of two processes that trusts the issuers' private certificate authority."""
    environment = {"CA_FILE": str(issuers.ca_file)}
    gateway = Gateway(servers.create(), tmp_path_factory.mktemp("line"), workers=2, environment=environment)
    yield gateway
    gateway.stop()


@pytest.fixture
def entra(issuers: IssuerServer) -> Issuer:
    return issuers.issuer()


def add_provider(gateway: Gateway, issuer: Issuer, audience: str = API) -> UUID:
    """Have the gateway know an identity provider, as a platform admin does."""
    provider_id = new_id()
    gateway.sql(
        "insert into identity_provider (provider_id, name, kind, authority, tenant, client_id, token_audience)"
        " values (%s, %s, %s, %s, %s, %s, %s)",
        *(provider_id, unique("provider"), issuer.kind, issuer.authority),
        *(issuer.tenant if issuer.kind == "entra" else None, API, audience),
    )
    return provider_id


def add_key(key: Key, issuer: Issuer, provider_id: UUID, value: str = ROLE, **options: Any) -> Key:
    """Make a key of kind 'workload' beside another one; it comes with the tokens that it is given."""
    claim = options.pop("claim", "app_role")
    token = Token(provider_id=provider_id, tenant=issuer.token_tenant, claim=claim, value=value)
    with key.gateway.services():
        arguments = (key.workspace_id, key.application_id, unique("workload"), token)
        key_id = workload_keys.create(*arguments, **{"models": ["*"]} | options)
    return replace(key, key_id=key_id, secret="")


def with_token(key: Key, token: str) -> Key:
    return replace(key, secret=token)


@pytest.fixture
def workload(line: Gateway, upstream: Upstream, entra: Issuer) -> Key:
    """A key for everything that has the app role."""
    key = add_key(make_key(line, upstream), entra, add_provider(line, entra))
    wait_until_known(with_token(key, entra.token(roles=[ROLE])))
    return key


def test_a_token_with_the_app_role_is_served_and_billed_as_a_key_is(
    line: Gateway, upstream: Upstream, entra: Issuer, workload: Key
) -> None:
    first, other = (with_token(workload, entra.token(roles=["Other", ROLE])) for _ in range(2))

    answers = [first.chat(), other.chat()]

    assert [200, 200] == [answer.status_code for answer in answers]
    assert Decimal(0) < billed(workload, 2)
    assert 2 == line.usage(first)["requests"]
    assert first.secret.encode() not in upstream.requests[0].head
    assert first.secret not in line.log_text()


@pytest.mark.parametrize("version", [1, 2])
def test_a_token_of_a_named_client_is_served(line: Gateway, upstream: Upstream, entra: Issuer, version: int) -> None:
    program = str(uuid4())
    key = add_key(make_key(line, upstream), entra, add_provider(line, entra), program, claim="client")
    v1 = {"azp": None, "appid": program, "iss": f"https://sts.windows.net/{entra.tenant}/", "aud": f"api://{API}"}

    token = entra.token(**v1 if version == 1 else {"azp": program.upper()})

    wait_until_known(with_token(key, token))
    assert 200 == with_token(key, token).chat().status_code


@pytest.mark.parametrize("claims", [{"azp": "batch"}, {"azp": None, "client_id": "batch"}, {"roles": "batch"}])
def test_any_oidc_issuer_may_sign(line: Gateway, upstream: Upstream, issuers: IssuerServer, claims: Any) -> None:
    issuer = issuers.issuer("oidc")
    claim = "app_role" if "roles" in claims else "client"
    key = add_key(make_key(line, upstream), issuer, add_provider(line, issuer, "gateway"), "batch", claim=claim)

    token = issuer.token(aud=["gateway", "another"], **claims)

    wait_until_known(with_token(key, token))
    assert 200 == with_token(key, token).chat().status_code


NOW = int(time.time())
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("exp", {"exp": NOW - 120}),
    ("exp", {"exp": None}),
    ("exp", {"exp": "soon"}),
    ("nbf", {"nbf": NOW + 3600}),
    ("iss", {"iss": "https://login.microsoftonline.com/common/v2.0"}),
    ("iss", {"iss": None}),
    ("aud", {"aud": "00000003-0000-0000-c000-000000000000"}),
    ("aud", {"aud": None}),
    ("tid", {"tid": "11111111-2222-3333-4444-555555555555"}),
    ("tid", {"tid": None}),
    ("scp", {"scp": "user_impersonation"}),
    ("idtyp", {"idtyp": "user"}),
    ("sub", {"sub": "pairwise"}),
    ("sub", {"oid": None}),
    ("nonce", {"nonce": "n"}),
    ("roles", {"roles": ["Another.Role"]}),
    ("roles", {"roles": [ROLE.lower()]}),
    ("roles", {"roles": None, "azp": None}),
    ("roles", {"roles": {"0": ROLE}}),
]


@pytest.mark.parametrize(
    ("claim", "changes"), WRONG, ids=[f"{claim}-{number}" for number, (claim, _) in enumerate(WRONG)]
)
def test_a_wrong_claim_is_named_and_nothing_else_is_told(
    upstream: Upstream, entra: Issuer, workload: Key, claim: str, changes: Any
) -> None:
    answer = with_token(workload, entra.token(**{"roles": [ROLE]} | changes)).chat()

    error = error_of(answer)
    assert (401, "invalid_api_key") == (answer.status_code, error["code"])
    assert claim in error["message"].rsplit("(", 1)[1]
    for word in (entra.authority, entra.tenant, API, str(workload.key_id), ROLE):
        assert word not in answer.text
    assert upstream.requests == []


def forged(entra: Issuer, **changes: Any) -> str:
    header = {"typ": "JWT", "alg": "RS256", "kid": entra.newest} | changes
    parts = (json.dumps(part).encode() for part in (header, entra.claims(roles=[ROLE])))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (*parts, b"signature"))


def signed_by_a_stranger(entra: Issuer) -> str:
    return jwt.encode(entra.claims(roles=[ROLE]), STRANGERS_KEY, "RS256", headers={"kid": entra.newest})


def signed_with_the_public_key(entra: Issuer) -> str:
    """What those try who hope that the name of the algorithm is believed."""
    public = entra.keys[entra.newest].public_key().public_numbers()
    secret = public.n.to_bytes(256).hex()
    return jwt.encode(entra.claims(roles=[ROLE]), secret, "HS256", headers={"kid": entra.newest})


def tampered(entra: Issuer) -> str:
    head, _, signature = entra.token(roles=["Nothing"]).split(".")
    return f"{head}.{entra.token(roles=[ROLE]).split('.')[1]}.{signature}"


def nested(depth: int) -> str:
    """JSON that is deeper than a parser may go."""
    return base64.urlsafe_b64encode(b'{"a":' + b"[" * depth + b"]" * depth + b"}").decode().rstrip("=")


FORGED = {
    "signature": [signed_by_a_stranger, forged, tampered],
    "alg": [lambda entra: forged(entra, alg="none"), signed_with_the_public_key],
    "kid": [lambda entra: forged(entra, kid="unknown"), lambda entra: forged(entra, kid="")],
    "format": [
        lambda _: "eyJ",
        lambda _: "eyJhbGciOiJSUzI1NiJ9.e30",
        lambda _: "eyJhbGciOiJSUzI1NiJ9.W10.c2ln",
        lambda _: "eyJhbGciOiJSUzI1NiJ9." + nested(2500) + ".c2ln",
        lambda _: nested(2500) + ".e30.c2ln",
    ],
}
FORGERIES = [(part, forge) for part, all_of in FORGED.items() for forge in all_of]


@pytest.mark.parametrize(("part", "forge"), FORGERIES)
def test_a_forged_token_is_refused(upstream: Upstream, entra: Issuer, workload: Key, part: str, forge: Any) -> None:
    answer = with_token(workload, forge(entra)).chat()

    error = error_of(answer)
    assert (401, "invalid_api_key") == (answer.status_code, error["code"])
    assert error["message"].endswith(f"({part}).")
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"exp": -30}, 200), ({"exp": -90}, 401), ({"nbf": 30}, 200), ({"nbf": 90}, 401)],
    ids=["ended 30 s ago", "ended 90 s ago", "begins in 30 s", "begins in 90 s"],
)
def test_clocks_may_be_a_minute_apart(entra: Issuer, workload: Key, changes: Any, status: int) -> None:
    times = {name: int(time.time()) + seconds for name, seconds in changes.items()}

    assert status == with_token(workload, entra.token(roles=[ROLE], **times)).chat().status_code


def test_a_token_ends_while_it_is_remembered(entra: Issuer, workload: Key) -> None:
    key = with_token(workload, entra.token(roles=[ROLE], exp=int(time.time()) - 58))

    before = key.chat().status_code

    assert 200 == before
    assert "exp" in error_of(eventually(lambda: (answer := key.chat()).status_code == 401 and answer))["message"]


def test_limits_and_models_hold_as_for_keys(line: Gateway, upstream: Upstream, entra: Issuer) -> None:
    limits = keys.Limits(requests_per_min=2)
    key = add_key(make_key(line, upstream), entra, add_provider(line, entra), limits=limits, models=["m"])
    key = with_token(key, entra.token(roles=[ROLE]))
    wait_until_known(key)

    refused = key.chat(model="another")
    statuses = [key.chat().status_code for _ in range(3)]

    assert refused.status_code in (403, 404)
    assert [200, 200, 429] == statuses


def test_a_revoked_key_is_refused_by_all_processes_within_a_second(entra: Issuer, workload: Key) -> None:
    key = with_token(workload, entra.token(roles=[ROLE]))
    before = together(20, lambda _: knows(key))

    with key.gateway.services():
        keys.revoke(key.workspace_id, key.key_id)
    wait_a_second()

    assert ([True] * 20, [False] * 20) == (before, together(20, lambda _: knows(key)))


def test_a_key_made_just_now_is_known_to_all_processes_within_a_second(
    line: Gateway, upstream: Upstream, entra: Issuer
) -> None:
    beside, provider_id = make_key(line, upstream), add_provider(line, entra)

    key = with_token(add_key(beside, entra, provider_id), entra.token(roles=[ROLE]))
    wait_a_second()

    assert [200] * 10 == together(10, lambda _: key.chat().status_code)


def test_what_stops_keys_stops_tokens(line: Gateway, upstream: Upstream, issuers: IssuerServer) -> None:
    stops = {"expiry": _let_expire, "application": _archive, "owner": _suspend, "provider": _disable}
    known = {}
    for name in stops:
        entra = issuers.issuer()
        provider_id = add_provider(line, entra)
        key = with_token(add_key(make_key(line, upstream), entra, provider_id), entra.token(roles=[ROLE]))
        wait_until_known(key)
        known[name] = key, provider_id

    for name, stop in stops.items():
        with line.services():
            stop(*known[name])
    wait_a_second()

    assert [401] * 4 == [key.chat().status_code for key, _ in known.values()]


def _let_expire(key: Key, _: UUID) -> None:
    keys.update(key.workspace_id, key.key_id, expires_at=utc_now() + timedelta(milliseconds=200))


def _archive(key: Key, _: UUID) -> None:
    applications.archive(key.workspace_id, key.application_id, now=utc_now())


def _suspend(key: Key, _: UUID) -> None:
    key.gateway.sql("update api_key set suspended_at = now() where key_id = %s", key.key_id)
    keys.refresh(key.workspace_id)


def _disable(key: Key, provider_id: UUID) -> None:
    key.gateway.sql("update identity_provider set disabled_at = now() where provider_id = %s", provider_id)
    workload_keys.refresh(provider_id)


def wait_a_second() -> None:
    since = time.monotonic()
    eventually(lambda: time.monotonic() - since >= 1)


def test_a_token_that_stands_for_two_keys_is_refused(line: Gateway, upstream: Upstream, entra: Issuer) -> None:
    beside, provider_id, program = make_key(line, upstream), add_provider(line, entra), str(uuid4())
    by_role = add_key(beside, entra, provider_id)
    by_client = add_key(beside, entra, provider_id, program, claim="client")
    wait_until_known(with_token(by_client, entra.token(azp=program)))

    answer = with_token(by_role, entra.token(azp=program, roles=[ROLE])).chat()

    assert 401 == answer.status_code
    assert "more than one key" in error_of(answer)["message"]
    assert 200 == with_token(by_role, entra.token(roles=[ROLE])).chat().status_code


def test_no_other_key_of_any_workspace_can_have_the_same_token(
    line: Gateway, upstream: Upstream, entra: Issuer
) -> None:
    provider_id = add_provider(line, entra)
    first = add_key(make_key(line, upstream), entra, provider_id)
    other = make_key(line, upstream)

    with pytest.raises(Invalid, match="another key already"):
        add_key(other, entra, provider_id)
    with line.services():
        keys.revoke(first.workspace_id, first.key_id)
    second = add_key(other, entra, provider_id)
    with pytest.raises(Invalid, match="another key already"), line.services():
        keys.reinstate(first.workspace_id, first.key_id)

    wait_until_known(with_token(second, entra.token(roles=[ROLE])))


def test_a_key_of_ones_own_that_looks_like_a_token_is_a_key(line: Gateway, upstream: Upstream) -> None:
    """Some gateways that people come from hand out keys of this shape."""
    secret = jwt.encode({"iss": "elsewhere", "n": unique("n")}, "a" * 32, "HS256")
    key = make_key(line, upstream)

    with line.services():
        keys.replace_secret(key.workspace_id, key.key_id, secret)
    wait_a_second()

    assert [200] * 10 == together(10, lambda _: with_token(key, secret).chat().status_code)


def test_unknown_keys_ask_the_issuer_once(line: Gateway, entra: Issuer, workload: Key) -> None:
    asked = entra.asked

    answers = together(20, lambda n: with_token(workload, forged(entra, kid=f"made-up-{n}")).chat().status_code)

    assert [401] * 20 == answers
    assert entra.asked - asked <= line.workers
    assert entra.asked <= 2 * line.workers


def test_while_the_issuer_is_away_what_it_has_published_goes_on(entra: Issuer, workload: Key) -> None:
    entra.away = True

    answers = together(10, lambda _: with_token(workload, entra.token(roles=[ROLE])).chat().status_code)

    assert [200] * 10 == answers


def test_an_issuer_that_was_away_at_first_is_asked_again(line: Gateway, upstream: Upstream, entra: Issuer) -> None:
    entra.away = True
    key = add_key(make_key(line, upstream), entra, add_provider(line, entra))
    key = with_token(key, entra.token(roles=[ROLE]))
    wait_a_second()

    answer = key.chat()
    entra.away = False

    assert (503, "gateway_unavailable") == (answer.status_code, answer.headers["x-gateway-error"])
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert entra.authority not in answer.text
    eventually(lambda: key.chat().status_code == 200, 12)


def test_an_issuer_that_does_not_answer_holds_nobody_else_up(line: Gateway, upstream: Upstream, entra: Issuer) -> None:
    other = make_key(line, upstream)
    key = with_token(add_key(other, entra, add_provider(line, entra)), entra.token(roles=[ROLE]))
    entra.answers.clear()
    wait_a_second()

    def ask(number: int) -> tuple[int, float]:
        since = time.monotonic()
        return (key if number < 4 else other).chat().status_code, time.monotonic() - since

    answers = together(12, ask)
    entra.answers.set()

    assert [503] * 4 + [200] * 8 == [status for status, _ in answers]
    assert all(4 < took < 7 for _, took in answers[:4])
    assert all(took < 2 for _, took in answers[4:])


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(
    gateway: Gateway, upstream: Upstream, entra: Issuer
) -> None:
    key = add_key(make_key(gateway, upstream), entra, add_provider(gateway, entra))
    wait_a_second()

    answer = with_token(key, entra.token(roles=[ROLE])).chat()

    assert 503 == answer.status_code, answer.text
    assert 0 == entra.asked
