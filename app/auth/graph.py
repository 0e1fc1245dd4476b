"""Microsoft Graph, asked for one thing: the groups of somebody who is in more of them than a token holds."""

from urllib.parse import urlsplit

import requests

from app.auth.id_tokens import MOST_VALUES, Refused
from app.auth.outbound import Session

SCOPE = "GroupMember.Read.All"
FIRST_PAGE = "/v1.0/me/transitiveMemberOf?$select=id&$top=999"
MOST_PAGES = 50
A_GROUP = "#microsoft.graph.group"


def groups(session: Session, graph_url: str, access_token: str) -> frozenset[str]:
    """Read the ids of all groups of whom the token is; raise `Refused`. They are known as a whole or not at all."""
    found: set[str] = set()
    address: str | None = graph_url + FIRST_PAGE
    for _ in range(MOST_PAGES):
        if address is None:
            return frozenset(found)
        if _host(address) != _host(graph_url):
            raise cannot("it leads to another host for the rest")
        page = _page(session, address, access_token)
        found |= _ids(page)
        address = _next(page)
    raise cannot(f"there are more than {MOST_PAGES} pages of them")


def cannot(why: str) -> Refused:
    """Say that the groups are unknown: nobody is let in as if he had none."""
    return Refused("groups", f"are too many for the token, and Microsoft Graph did not tell them: {why}")


def _page(session: Session, address: str, access_token: str) -> dict[str, object]:
    try:
        answer = session.get(address, headers={"Authorization": f"Bearer {access_token}"})
        page = answer.json()
    except requests.RequestException as error:
        raise cannot(f"it does not answer ({type(error).__name__})") from error
    if answer.status_code != requests.codes.ok or not isinstance(page, dict):
        raise cannot(f"it answers {answer.status_code} {_code(page)}".rstrip())
    return page


def _ids(page: dict[str, object]) -> set[str]:
    listed = page.get("value")
    if not isinstance(listed, list) or len(listed) > MOST_VALUES:
        raise cannot("its answer holds no list")
    rows = [one for one in listed if isinstance(one, dict) and one.get("@odata.type", A_GROUP) == A_GROUP]
    return {one["id"] for one in rows if isinstance(one.get("id"), str)}


def _next(page: dict[str, object]) -> str | None:
    address = page.get("@odata.nextLink")
    return address if isinstance(address, str) else None


def _code(page: object) -> str:
    """Find Graph's word for what is wrong, such as Authorization_RequestDenied."""
    error = page.get("error") if isinstance(page, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) and code.isprintable() and len(code) < 80 else ""


def _host(address: str) -> tuple[str, str]:
    parts = urlsplit(address)
    return parts.scheme, parts.netloc
