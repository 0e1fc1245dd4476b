"""No address of the console or the API gives one tenant anything of another, nor tells that it is there."""

import re
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask

from app.auth.permissions import PERMISSIONS
from tests import people
from tests.tenancy.tenant import Tenant, a_form, address, console_rules, make, nobodys

VARYING = (re.compile(r'content="[\w-]{20,}"'), re.compile(r'nonce="[^"]+"'))


@pytest.fixture
def tenants(app: Flask) -> tuple[Tenant, Tenant]:
    assert app
    return make(), make()


def test_bc_099_what_belongs_to_another_tenant_is_like_what_does_not_exist(app: Flask, tenants: Any) -> None:
    theirs, mine = tenants
    me = people.member(mine.workspace_id, "owner").client(app)
    asked, told = 0, []

    for method, rule in console_rules(app):
        if app.view_functions[rule.endpoint].permission is None:
            continue  # Whoever has an invitation's link may open it: that is what it is for.
        for foreign, nothing in _foreign(mine, theirs, rule.arguments):
            answers = [me.send(method, address(app, rule, place), a_form()) for place in (foreign, nothing)]
            asked += 1
            # At home, who may not do a thing at all is told that, whatever it is about.
            at_home = foreign.workspace_id == mine.workspace_id
            expected = (
                403 if at_home and "owner" not in PERMISSIONS[app.view_functions[rule.endpoint].permission] else 404
            )
            if [expected, expected] != [answer.status_code for answer in answers]:
                told.append(f"{method} {rule.rule}: {[answer.status for answer in answers]}")
            elif _body(answers[0], foreign) != _body(answers[1], nothing):
                told.append(f"{method} {rule.rule}: the two 404 differ")

    print(f"routes asked for another tenant's things: {asked}")
    assert told == []
    assert asked > 20


def test_bc_098_no_page_holds_a_word_of_another_tenant(app: Flask, tenants: Any) -> None:
    theirs, mine = tenants
    me = people.member(mine.workspace_id, "owner").client(app)
    foreign = "&".join(f"{name}={value}" for name, value in _filters(theirs).items())
    pages = [rule for method, rule in console_rules(app) if method == "GET" and "workspace_id" in rule.arguments]

    texts = {}
    for rule in pages:
        for query in ("", f"?{foreign}", f"?q={theirs.word}"):
            answer = me.get(address(app, rule, mine) + query)
            texts[rule.rule, query] = answer.get_data(as_text=True)

    assert [place for place, text in texts.items() if _names(theirs, text, place[1])] == []
    assert any(mine.word in text for text in texts.values())


def _foreign(mine: Tenant, theirs: Tenant, arguments: set[str]) -> list[tuple[Tenant, Tenant]]:
    """Their things at my address and at theirs, each beside an address that leads to nothing."""
    if "workspace_id" not in arguments:
        return []
    nothing = nobodys(mine)
    pairs = [(theirs, nothing)]
    if len(arguments) > 1:
        pairs.append((mine.with_things_of(theirs), mine.with_things_of(nothing)))
    return pairs


def _body(answer: Any, place: Tenant) -> str:
    """What an answer says, without what differs from request to request and without the ids that were asked for."""
    text: str = answer.get_data(as_text=True).replace(answer.headers["X-Request-Id"], "REQUEST")
    for value in place.ids.values():
        text = text.replace(str(value), "ID")
    for pattern in VARYING:
        text = pattern.sub("", text)
    return text


def _filters(theirs: Tenant) -> dict[str, object]:
    """Their ids under every name that a filter might have."""
    names = {name: value for name, value in theirs.ids.items() if name != "workspace_id"}
    short = {name.removesuffix("_id"): value for name, value in names.items()}
    return names | short | {"workspace": theirs.workspace_id, "after": names["key_id"], "cursor": uuid4()}


def _names(theirs: Tenant, text: str, query: str) -> bool:
    """Tell whether a text holds a name of theirs; what was asked for may be repeated."""
    return theirs.word in text and theirs.word not in query
