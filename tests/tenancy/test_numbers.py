"""Neither a page nor a piece of one nor a file tells one tenant how much another has used, whatever it asks for."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from tests import people
from tests.billing.books import NOON, Books, call
from tests.tenancy.tenant import Tenant, address, console_rules, make

DAYS = f"from={NOON.date()}&to={NOON.date()}"
THEIR_TOKENS, MY_TOKENS = 7_654_321, 1_234_567
PIECE = {"HX-Request": "true"}
OF_THE_PLATFORM = {"identity_provider_id"}
"""Where people sign in is the same for all tenants: every form of mappings offers it."""


@pytest.fixture
def tenants(app: Flask, books: Books) -> Iterator[tuple[Tenant, Tenant]]:
    """Two workspaces, each with a call whose size no other call has."""
    assert app.testing
    theirs, mine = make(), make()
    for tenant, tokens in ((theirs, THEIR_TOKENS), (mine, MY_TOKENS)):
        ids = {name: tenant.ids[name] for name in ("application_id", "key_id", "model_id")}
        books.put(call(tenant.workspace_id, meters={"input": tokens}, alias=f"{tenant.word} model", **ids))
    books.take()
    return theirs, mine


def test_bc_098_no_page_piece_or_file_has_a_name_id_or_number_of_another_tenant(app: Flask, tenants: Any) -> None:
    theirs, mine = tenants
    me = people.member(mine.workspace_id, "owner").client(app)
    told, mine_seen = [], 0

    for rule, query in _places(app, theirs):
        for headers in ({}, PIECE):
            answer = me.get(f"{address(app, rule, mine)}?{query}", headers=headers)
            text = answer.get_data(as_text=True)
            assert answer.status_code < 500, rule.rule
            mine_seen += _holds(text, MY_TOKENS)
            if _tells(theirs, text, query) or _holds(text, THEIR_TOKENS):
                told.append((rule.rule, query, bool(headers)))

    assert told == []
    assert mine_seen


def _places(app: Flask, theirs: Tenant) -> list[tuple[Any, str]]:
    """Each address that is mine, plain and with each of their ids under each name that a filter might have."""
    rules = [rule for method, rule in console_rules(app) if method == "GET" and "workspace_id" in rule.arguments]
    filters = {name.removesuffix("_id"): value for name, value in theirs.ids.items() if name.endswith("_id")}
    queries = [DAYS, *(f"{DAYS}&{name}={value}" for name, value in filters.items())]
    queries += [f"{DAYS}&group={group}" for group in ("application", "key", "day", "month")]
    return [(rule, query) for rule in rules for query in queries]


def _tells(theirs: Tenant, text: str, query: str) -> bool:
    """Tell whether a text has a word or an id of theirs that was not asked for."""
    own = theirs.ids.keys() - OF_THE_PLATFORM
    ids = [str(theirs.ids[name]) for name in own if name.endswith("_id")]
    return theirs.word in text or any(one in text for one in ids if one not in query)


def _holds(text: str, tokens: int) -> bool:
    return str(tokens) in text or f"{tokens:,}" in text or f"{tokens:,}".replace(",", "\u202f") in text
