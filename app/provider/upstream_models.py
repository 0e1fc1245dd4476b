"""The test of an account: ask its upstream to list its models, which costs nothing."""

import json
from dataclasses import dataclass
from uuid import UUID

import httpx

from app.extensions import transaction
from app.logging import asking, audit
from app.provider import credentials, providers
from app.provider.adapters import ADAPTERS

LIMIT_S = 5.0
LARGEST_BYTES = 4 * 1024 * 1024
MOST_SHOWN = 500
LONGEST_NAME = 200

UNREADABLE = "The stored secret was sealed with another SECRET_KEY. Give it again."
SILENT = f"The upstream did not answer within {LIMIT_S:.0f} s."
AWAY = "The upstream cannot be reached: no connection."
NO_LIST = "The upstream answered, but not with a list of models. Check the address and the kind."
STATUSES = {
    401: "The upstream does not accept the secret (401).",
    403: "The upstream does not let this secret list its models (403).",
    404: "There is no list of models at this address (404). Check the address.",
    429: "The upstream is busy or its quota is used up (429). Try again later.",
}


@dataclass(frozen=True, slots=True)
class Tested:
    """What a test found: the upstream's models, or in words why there are none. Holds no address and no secret."""

    models: tuple[str, ...] = ()
    problem: str | None = None


def ask(workspace_id: UUID, provider_id: UUID) -> Tested:
    """List the upstream's models with the stored secret, within 5 s; no redirect is followed."""
    account = providers.get(workspace_id, provider_id)
    secret = credentials.opened(workspace_id, provider_id)
    found = Tested(problem=UNREADABLE) if secret is None else _within_limit(account, secret)
    after = {"models": len(found.models), "problem": found.problem}
    with transaction(workspace_id):
        audit.record("provider.test", kind="provider", id=provider_id, name=account.name, after=after)
    return found


def _within_limit(account: providers.Provider, secret: str) -> Tested:
    """Ask in a thread of its own: an upstream that sends a byte now and then is given up as well."""
    answers = asking.ask_all({"the upstream's models": lambda: _get(account, secret)}, LIMIT_S)
    return answers.get("the upstream's models", Tested(problem=SILENT))


def _get(account: providers.Provider, secret: str) -> Tested:
    adapter = ADAPTERS[account.kind]
    headers = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "llm-gateway"}
    try:
        with (
            httpx.Client(timeout=LIMIT_S, follow_redirects=False, trust_env=False) as client,
            client.stream(
                "GET", adapter.models_url(account.base_url), headers=headers | adapter.headers(secret)
            ) as answer,
        ):
            return _read(answer)
    except httpx.TimeoutException:
        return Tested(problem=SILENT)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):
        return Tested(problem=AWAY)


def _read(answer: httpx.Response) -> Tested:
    if answer.is_redirect:
        return Tested(problem=f"The upstream sends elsewhere ({answer.status_code}). Give its final address.")
    if answer.status_code != 200:
        usual = f"The upstream answered with an error ({answer.status_code})."
        return Tested(problem=STATUSES.get(answer.status_code, usual))
    body = b""
    for chunk in answer.iter_bytes():
        body += chunk
        if len(body) > LARGEST_BYTES:
            return Tested(problem=NO_LIST)
    return _names(body)


def _names(body: bytes) -> Tested:
    """Read `{"data": [{"id": …}]}`; a bare list is taken as well."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return Tested(problem=NO_LIST)
    rows = found.get("data") if isinstance(found, dict) else found
    if not isinstance(rows, list):
        return Tested(problem=NO_LIST)
    names = [row["id"] for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]
    return Tested(tuple(sorted(name[:LONGEST_NAME] for name in names if name)[:MOST_SHOWN]))
