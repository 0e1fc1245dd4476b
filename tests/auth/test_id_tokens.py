"""ID tokens: what is right is read, and each wrong claim is refused by its name."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from app.auth import id_tokens
from app.auth.id_tokens import Expected, Refused
from app.auth.jwk_sets import SigningKey

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
T = int(NOW.timestamp())
TENANT, OTHER_TENANT = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
AUTHORITY = "https://login.test"
CLIENT = "aaaaaaaa-0000-0000-0000-000000000001"
KEY, OTHER_KEY = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
ENTRA = Expected(
    issuer=f"{AUTHORITY}/{TENANT}/v2.0", client_id=CLIENT, nonce="the nonce", tenants=frozenset({TENANT}), guests=False
)
OIDC = Expected(issuer="https://issuer.test", client_id=CLIENT, nonce="the nonce")


def claims(**changes):
    """What Entra says of Jane; a change to None leaves the claim out."""
    usual = {
        "iss": ENTRA.issuer,
        "aud": CLIENT,
        "tid": TENANT,
        "oid": "jane",
        "sub": "pairwise",
        "nonce": "the nonce",
        "iat": T - 5,
        "nbf": T - 5,
        "exp": T + 3600,
        "name": "Jane Doe",
        "email": "Jane.Doe@corp.test",
        "preferred_username": "jane@corp.test",
    }
    return {name: value for name, value in (usual | changes).items() if value is not None}


def signed(body, *, key=KEY, algorithm="RS256", kid="k1"):
    return jwt.encode(body, key, algorithm=algorithm, headers={"kid": kid} if kid else None)


def check(token, expected=ENTRA, now=NOW):
    keys = {"k1": SigningKey(KEY.public_key()), "k2": SigningKey(KEY.public_key(), f"{AUTHORITY}/{TENANT}/v2.0")}
    return id_tokens.check(token, expected=expected, find_key=keys.get, now=now)


def refusal(token, expected=ENTRA, now=NOW):
    with pytest.raises(Refused) as refused:
        check(token, expected, now)
    return refused.value.claim


def test_a_right_token_says_who_it_is():
    found = check(signed(claims(roles=["Gateway.Admin"], groups=["g1", "g2"], sid="s1")))

    assert (TENANT, "jane") == (found.tenant, found.subject)
    assert ("Jane.Doe@corp.test", "Jane Doe", "s1") == (found.email, found.name, found.sid)
    assert ({"Gateway.Admin"}, {"g1", "g2"}) == (found.app_roles, found.groups)


def test_another_issuer_says_it_by_issuer_and_subject():
    found = check(signed(claims(iss=OIDC.issuer, tid=None, oid=None)), OIDC)

    assert ("https://issuer.test", "pairwise") == (found.tenant, found.subject)


@pytest.mark.parametrize(
    ("claim", "changes"),
    [
        ("iss", {"iss": f"{AUTHORITY}/{OTHER_TENANT}/v2.0"}),
        ("iss", {"iss": None}),
        ("iss", {"iss": ENTRA.issuer + "/"}),
        ("aud", {"aud": "another-application"}),
        ("aud", {"aud": None}),
        ("aud", {"aud": ["one", "two"]}),
        ("azp", {"aud": [CLIENT, "another-application"]}),
        ("azp", {"aud": [CLIENT, "another-application"], "azp": "another-application"}),
        ("azp", {"azp": "another-application"}),
        ("nonce", {"nonce": "another"}),
        ("nonce", {"nonce": None}),
        ("exp", {"exp": T - 60}),
        ("exp", {"exp": None}),
        ("exp", {"exp": "tomorrow"}),
        ("exp", {"exp": True}),
        ("exp", {"exp": 10**12}),
        ("nbf", {"nbf": T + 61}),
        ("iat", {"iat": T + 61}),
        ("iat", {"iat": None}),
        ("oid", {"oid": None}),
        ("oid", {"oid": ""}),
        ("oid", {"oid": ["jane"]}),
        ("roles", {"roles": {"a": 1}}),
        ("roles", {"roles": [1]}),
        ("groups", {"groups": 7}),
    ],
)
def test_a_wrong_claim_is_refused_by_its_name(claim, changes):
    assert claim == refusal(signed(claims(**changes)))


def test_clocks_may_differ_by_a_minute():
    early, late = claims(iat=T + 59, nbf=T + 59), claims(exp=T - 59)

    assert check(signed(early)).subject == check(signed(late)).subject


def test_only_our_algorithm_and_the_issuers_key_count():
    right = claims()
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": "k1"}).encode()).rstrip(b"=").decode()
    unsigned = f"{header}.{signed(right).split('.')[1]}."
    secret = "x" * 64

    assert "alg" == refusal(unsigned)
    assert "alg" == refusal(signed(right, key=secret, algorithm="HS256"))
    assert "alg" == refusal(signed(right, algorithm="PS256"))
    assert "signature" == refusal(signed(right, key=OTHER_KEY))
    assert "kid" == refusal(signed(right, kid="unknown"))
    assert "kid" == refusal(signed(right, kid=None))


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_token_that_was_changed_on_its_way_is_refused(part):
    parts = signed(claims()).split(".")
    parts[part] = parts[part][:-8] + "AAAA" + parts[part][-4:]

    assert refusal(".".join(parts)) in {"id_token", "alg", "kid", "signature"}


@pytest.mark.parametrize("token", ["", "a", "a.b.c", "é.é.é", "....", "null"])
def test_what_is_no_token_is_refused(token):
    assert "id_token" == refusal(token)


def test_of_several_tenants_only_those_that_are_listed_may_come():
    several = replace(ENTRA, issuer=f"{AUTHORITY}/{{tenantid}}/v2.0", tenants=frozenset({TENANT, "another"}))

    assert TENANT == check(signed(claims()), several).tenant
    strangers = claims(tid=OTHER_TENANT, iss=f"{AUTHORITY}/{OTHER_TENANT}/v2.0")
    assert "tid" == refusal(signed(strangers), several)
    assert "iss" == refusal(signed(claims(tid=OTHER_TENANT)), several)
    assert "iss" == refusal(signed(claims(tid=None)), several)


def test_a_key_of_one_tenant_signs_for_no_other():
    several = replace(ENTRA, issuer=f"{AUTHORITY}/{{tenantid}}/v2.0", tenants=frozenset({TENANT, OTHER_TENANT}))
    theirs = claims(tid=OTHER_TENANT, iss=f"{AUTHORITY}/{OTHER_TENANT}/v2.0")

    assert OTHER_TENANT == check(signed(theirs), several).tenant
    assert TENANT == check(signed(claims(), kid="k2"), several).tenant
    assert "iss" == refusal(signed(theirs, kid="k2"), several)


def test_an_empty_list_of_tenants_lets_nobody_in():
    assert "tid" == refusal(signed(claims()), replace(ENTRA, tenants=frozenset()))


def test_a_tenant_is_the_same_in_capital_letters():
    capital = TENANT.upper().replace("1", "A")
    expected = replace(ENTRA, tenants=frozenset({capital.lower()}))

    assert capital.lower() == check(signed(claims(tid=capital)), expected).tenant


@pytest.mark.parametrize(
    ("claim", "changes"),
    [
        ("acct", {"acct": 1}),
        ("acct", {"acct": "1"}),
        ("acct", {"acct": "guest"}),
        ("idp", {"idp": f"https://sts.windows.net/{OTHER_TENANT}/"}),
        ("idp", {"idp": "live.com"}),
        ("preferred_username", {"preferred_username": "jane_partner.test#EXT#@corp.onmicrosoft.test"}),
        ("upn", {"upn": "jane_partner.test#ext#@corp.onmicrosoft.test"}),
    ],
)
def test_guests_come_only_where_they_may(claim, changes):
    token = signed(claims(**changes))

    assert claim == refusal(token)
    assert "jane" == check(token, replace(ENTRA, guests=True)).subject


@pytest.mark.parametrize(
    "changes",
    [{"acct": 0}, {"acct": 0, "idp": "live.com"}, {"idp": f"https://sts.windows.net/{TENANT}/"}, {"idp": ENTRA.issuer}],
)
def test_a_member_of_the_tenant_is_no_guest(changes):
    assert "jane" == check(signed(claims(**changes))).subject


@pytest.mark.parametrize(
    "changes",
    [
        {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph.test"}}},
        {"hasgroups": True},
        {"hasgroups": "true", "groups": ["g1"]},
    ],
)
def test_groups_that_were_too_many_are_unknown_and_not_none(changes):
    assert check(signed(claims(**changes))).groups is None


def test_without_groups_there_are_none():
    assert frozenset() == check(signed(claims())).groups
    assert frozenset() == check(signed(claims(hasgroups=False, _claim_names={"other": "src1"}))).groups


@pytest.mark.parametrize(
    ("shown", "changes"),
    [
        ("jane@corp.test", {"email": None}),
        (None, {"email": None, "preferred_username": "jane"}),
        ("jane@corp.test", {"email_verified": False}),
        ("jane@corp.test", {"xms_edov": 0}),
        ("Jane.Doe@corp.test", {"email_verified": True}),
        (None, {"email": 7, "preferred_username": "a\nb@corp.test"}),
    ],
)
def test_the_address_is_shown_and_blocks_nobody(shown, changes):
    assert shown == check(signed(claims(**changes))).email


def test_another_issuers_user_name_is_no_address():
    body = claims(iss=OIDC.issuer, email_verified=False, preferred_username="boss@corp.test")

    assert check(signed(body), OIDC).email is None


def test_a_token_of_yesterday_is_refused():
    assert "exp" == refusal(signed(claims()), now=NOW + timedelta(days=1))
