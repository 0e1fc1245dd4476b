"""What `iss` and `aud` may be, for Entra's two versions of tokens, its national clouds, and any other issuer."""

import pytest

from app.auth import workloads
from app.auth.callers import Callers
from app.auth.workloads import Trust

TENANT = "11111111-2222-3333-4444-555555555555"
API = "5e0c6f2a-1f0b-4c57-9a3e-7b1de6b0a001"


@pytest.mark.parametrize(
    ("authority", "v1"),
    [
        ("https://login.microsoftonline.com", "https://sts.windows.net"),
        ("https://login.microsoftonline.us", "https://sts.windows.net"),
        ("https://login.partner.microsoftonline.cn", "https://sts.chinacloudapi.cn"),
    ],
)
def test_entra_names_itself_by_the_tenant_in_two_ways(authority: str, v1: str) -> None:
    trust = Trust("entra", authority, TENANT, API)

    assert {f"{authority}/{TENANT}/v2.0", f"{v1}/{TENANT}/"} == trust.issuers
    assert f"{authority}/{TENANT}/v2.0/.well-known/openid-configuration" == trust.discovery


@pytest.mark.parametrize("authority", ["https://id.example.test/realm", "https://id.example.test/realm/"])
def test_another_issuer_is_its_address(authority: str) -> None:
    trust = Trust("oidc", authority, authority, "gateway")

    assert {"https://id.example.test/realm", "https://id.example.test/realm/"} == trust.issuers
    assert "https://id.example.test/realm/.well-known/openid-configuration" == trust.discovery


@pytest.mark.parametrize(
    ("audience", "accepted"),
    [
        (API, {API, f"api://{API}"}),
        (f"api://{API}", {API, f"api://{API}"}),
        ("api://gateway", {"api://gateway"}),
        ("https://gateway.example.test", {"https://gateway.example.test"}),
    ],
)
def test_an_api_is_its_id_in_one_version_and_its_address_in_the_other(audience: str, accepted: set[str]) -> None:
    assert accepted == Trust("entra", "https://login.microsoftonline.com", TENANT, audience).audiences


def test_nobody_is_trusted_before_a_key_says_so() -> None:
    assert [] == list(Callers().trusts("https://login.microsoftonline.com/common/v2.0"))
    assert workloads.BEGINNING == b"eyJ"
