"""Signing in at an identity provider: by code and PKCE, which MSAL does, and an ID token, which we check.

Nothing is asked of a provider before somebody signs in there.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import msal
import requests

from app.auth import graph, id_tokens, identity_providers
from app.auth.id_tokens import Expected, Refused, Token
from app.auth.identity_providers import IdentityProvider
from app.auth.jwk_sets import ANY_TENANT, WELL_KNOWN
from app.auth.jwks import Directory, Metadata
from app.auth.outbound import Session, Unreachable
from app.crypto import CannotOpen
from app.extensions import settings

SCOPES = ["email"]
LONGEST_WORDS = 300

Flow = Mapping[str, Any]
"""What MSAL has to have again when the browser returns: state, nonce, the verifier of PKCE. No address is in it."""


def begin(provider: IdentityProvider, *, redirect_uri: str) -> tuple[str, Flow]:
    """Begin a sign-in; give the address to send the browser to, and the flow to keep. Raise `Unreachable`."""
    with _client(provider) as (client, _), warnings.catch_warnings():
        # It warns of every answer by query: one by a form of another site would come without our Lax cookie.
        warnings.simplefilter("ignore")
        flow = client.initiate_auth_code_flow(SCOPES, redirect_uri=redirect_uri)
    return flow.pop("auth_uri"), flow


def finish(provider: IdentityProvider, flow: Flow, answer: Mapping[str, str], *, now: datetime) -> Token:
    """Turn what the browser brought back into who has signed in. Raise `Refused`, or `Unreachable`."""
    metadata = directory().metadata(provider.discovery)
    _check_answer(flow, answer, metadata.issuer)
    with _client(provider) as (client, session):
        result = _redeem(client, flow, answer)
        about = provider.registration
        expected = Expected(
            issuer=metadata.issuer,
            client_id=about.client_id,
            nonce=id_tokens.sent_nonce(str(flow.get("nonce"))),
            tenants=provider.tenants,
            guests=about.guests,
        )
        token = id_tokens.check(result["id_token"], expected=expected, find_key=_keys_of(provider), now=now)
        return replace(token, groups=_groups(provider, client, session, result)) if token.groups is None else token


def sign_out_address(provider: IdentityProvider, *, back: str) -> str | None:
    """Tell where a browser ends its session at the provider, which then leads `back`; None where it cannot be known."""
    try:
        end = directory().metadata(provider.discovery).end_session_endpoint
    except Unreachable:
        return None
    values = {"client_id": provider.registration.client_id, "post_logout_redirect_uri": back}
    return f"{end}{'&' if urlsplit(end).query else '?'}{urlencode(values)}" if end else None


def directory() -> Directory:
    """What this process knows of issuers."""
    return _directory(settings().ca_file)


@lru_cache(maxsize=4)
def _directory(ca_file: Path | None) -> Directory:
    return Directory(lambda: Session(ca_file))


def _keys_of(provider: IdentityProvider) -> id_tokens.FindKey:
    return lambda kid: directory().key(provider.discovery, kid)


@contextmanager
def _client(provider: IdentityProvider) -> Iterator[tuple[Any, Session]]:
    """Make MSAL's client for one sign-in: what it remembers of tokens is gone with it."""
    about, metadata = provider.registration, directory().metadata(provider.discovery)
    with Session(settings().ca_file) as session:
        session.known[_with_path(provider.discovery) + WELL_KNOWN] = metadata.document
        options: dict[str, Any] = {"http_client": session, "instance_discovery": False}
        if about.kind == "entra":
            options["authority"] = provider.authority
        else:
            _check_issuer(provider, metadata)
            # Only Entra wants this scope for a refresh token, with which Graph is asked; Google refuses it.
            options |= {"oidc_authority": _with_path(provider.authority), "exclude_scopes": ["offline_access"]}
        try:
            secret = identity_providers.secret_of(provider.provider_id)
            client = msal.ConfidentialClientApplication(about.client_id, client_credential=secret, **options)
        except CannotOpen as error:
            raise Unreachable("the stored client secret does not open with this installation's SECRET_KEY") from error
        except (requests.RequestException, ValueError, KeyError) as error:
            raise Unreachable(f"{provider.authority} cannot be used: {_line(str(error))}") from error
        yield client, session


def _check_issuer(provider: IdentityProvider, metadata: Metadata) -> None:
    """Check that an issuer is who it was taken for: MSAL is content with the same host."""
    if metadata.issuer.rstrip("/") != provider.authority:
        raise Unreachable(f"{provider.authority} calls itself {metadata.issuer}: type its address as it writes it")


def _with_path(issuer: str) -> str:
    """Give an issuer without a path one that means the same: MSAL takes no address without."""
    return issuer if urlsplit(issuer).path else f"{issuer}/."


def _check_answer(flow: Flow, answer: Mapping[str, str], issuer: str) -> None:
    """Check what the browser brought back before anything in it is used or shown."""
    if not flow.get("state") or answer.get("state") != flow["state"]:
        raise Refused("state", "is not the one of this sign-in: perhaps another one was begun in this browser")
    if ANY_TENANT not in issuer and answer.get("iss", issuer) != issuer:
        raise Refused("iss", "is not the provider at which this sign-in was begun")
    if answer.get("error"):
        raise Refused("error", f"is {_line(answer['error'])}. {_line(answer.get('error_description', ''))}".rstrip())
    if not answer.get("code"):
        raise Refused("code", "is missing")


def _redeem(client: Any, flow: Flow, answer: Mapping[str, str]) -> dict[str, Any]:
    """Change the code for tokens."""
    try:
        result: dict[str, Any] = client.acquire_token_by_auth_code_flow(dict(flow), dict(answer))
    except requests.RequestException as error:
        raise Unreachable(f"it does not redeem the code: {_line(str(error))}") from error
    except RuntimeError as error:  # MSAL has compared the nonces
        raise Refused("nonce", "is not the one of this sign-in") from error
    except (ValueError, IndexError) as error:
        raise Refused("id_token", "cannot be read") from error
    if result.get("error"):
        words = _line(str(result.get("error_description", "")))
        raise Refused("code", f"was not accepted: {_line(str(result['error']))}. {words}".rstrip())
    if not isinstance(result.get("id_token"), str):
        raise Refused("id_token", "is missing")
    return result


def _groups(provider: IdentityProvider, client: Any, session: Session, result: Mapping[str, Any]) -> frozenset[str]:
    """Ask Graph for the groups that the token has left out."""
    if provider.registration.kind != "entra":
        raise Refused("groups", "are left out of the token, which only Microsoft Graph could replace")
    if not result.get("refresh_token"):
        raise graph.cannot("there is no token for it")
    graph_url = provider.registration.graph_url
    try:
        granted = client.acquire_token_by_refresh_token(result["refresh_token"], [f"{graph_url}/{graph.SCOPE}"])
    except (requests.RequestException, ValueError) as error:
        raise graph.cannot(_line(str(error))) from error
    if not granted.get("access_token"):
        raise graph.cannot(_line(f"{granted.get('error')}. {granted.get('error_description', '')}"))
    return graph.groups(session, graph_url, granted["access_token"])


def _line(words: str) -> str:
    """Take what fits into a line of a page of another's words."""
    first = next(iter(words.splitlines()), "")
    return "".join(letter for letter in first if letter.isprintable())[:LONGEST_WORDS]
