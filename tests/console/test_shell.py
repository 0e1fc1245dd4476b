import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest
from flask import Flask, render_template_string

from app.auth import permissions
from app.auth.sessions import Person
from app.console.guard import Here
from app.console.navigation import navigation
from app.units import new_id
from app.workspace import workspaces
from app.workspace.workspaces import Workspace
from tests import people
from tests.console.shell import app_without_servers, text_of, visitor
from tests.factories import unique
from tests.gateway_process import close_app
from tests.people import Browser

ACME = Workspace(workspace_id=new_id(), name="Acme", timezone="UTC", managed_by="console")
VILE = """');alert(1)//"><img src=x onerror=alert(1)>{{7*7}}<script>1</script>"""


@pytest.fixture(scope="module")
def frame() -> Iterator[Flask]:
    app = app_without_servers()
    yield app
    close_app(app)


@pytest.fixture
def somebody(frame: Flask) -> Browser:
    return visitor(frame)


def here_as(role: str, *, platform: str | None = None, workspace: Workspace | None = ACME) -> Here:
    person = Person(user_id=new_id(), email="ada@example.test", name="Ada", platform_role=platform)
    roles = permissions.roles_of(platform, role, in_workspace=workspace is not None)
    return Here(person=person, workspace=workspace, role=role, roles=roles)


def shown(frame: Flask, here: Here, path: str = "/") -> list[str]:
    with frame.test_request_context(path):
        return [link.text for _, links in navigation(here) for link in links]


def test_the_sidebar_has_what_the_role_may_open(frame: Flask) -> None:
    assert "Audit" in shown(frame, here_as("owner"))
    assert "Audit" not in shown(frame, here_as("viewer"))
    assert "Platform" not in shown(frame, here_as("owner"))
    assert "Platform" in shown(frame, here_as("owner", platform="auditor"))
    assert shown(frame, here_as("owner", workspace=None)) == ["Workspaces"]


@pytest.mark.parametrize(
    ("path", "current"),
    [("", "Overview"), ("keys", "API keys"), ("keys/new", "API keys"), ("usage", "Usage"), ("usage.csv", None)],
)
def test_the_sidebar_marks_the_page_that_is_open(frame: Flask, path: str, current: str | None) -> None:
    with frame.test_request_context(f"/w/{ACME.workspace_id}/{path}"):
        marked = [link.text for _, links in navigation(here_as("owner")) for link in links if link.current]

    assert marked == ([current] if current else [])


def test_the_switcher_lists_the_workspaces_of_the_person(app: Flask) -> None:
    own, other = (workspaces.create(unique("workspace")) for _ in range(2))
    somebody = people.member(own, "viewer").client(app)

    page = text_of(somebody, "/workspaces/switch")

    assert f'href="/w/{own}/"' in page
    assert str(other) not in page


def test_every_page_has_a_strict_policy_and_its_scripts_a_word_of_their_own(somebody: Browser) -> None:
    first, second = somebody.get("/style"), somebody.get("/style")

    policies = [page.headers["Content-Security-Policy"] for page in (first, second)]
    words = [re.findall(r"'nonce-([\w-]{20,})'", policy)[0] for policy in policies]
    assert words[0] != words[1]
    assert "unsafe" not in policies[0]
    assert {"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policies[0].split("; "))
    scripts = re.findall(r"<script[^>]*>", first.get_data(as_text=True))
    assert scripts
    assert [tag for tag in scripts if f'nonce="{words[0]}"' not in tag] == []
    assert (first.headers["X-Content-Type-Options"], first.headers["Referrer-Policy"]) == ("nosniff", "same-origin")


def test_a_page_has_nothing_inline_and_nothing_from_another_host(somebody: Browser) -> None:
    page = text_of(somebody, "/style")

    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", page) == []
    assert re.findall(r"""(?:src|href|action)=["'](?:https?:)?//""", page) == []


def test_htmx_is_told_once_what_to_swap_and_to_evaluate_nothing(somebody: Browser) -> None:
    page = text_of(somebody, "/style")

    assert page.count('name="htmx-config"') == 1
    for setting in (
        '"allowEval":false',
        '"includeIndicatorStyles":false',
        '"code":"409|422","swap":true',
        '"historyCacheSize":0',
    ):
        assert setting in page
    token = re.findall(r'name="csrf_token" value="([^"]+)"', page)[0]
    assert f'"X-CSRFToken": "{token}"' in page


@pytest.mark.parametrize(
    ("chosen", "html"), [("dark", 'data-theme="dark"'), ("light", 'data-theme="light"'), ("auto", "")]
)
def test_the_colours_are_in_the_page_as_it_comes(somebody: Browser, chosen: str, html: str) -> None:
    answer = somebody.post("/theme", {"theme": chosen, "back": "/style?x=1"})

    assert (303, "/style?x=1") == (answer.status_code, answer.headers["Location"])
    assert re.findall(r"<html lang=\"en\" ?([^>]*)>", text_of(somebody, "/style")) == [html]


@pytest.mark.parametrize("back", ["https://evil.test/", "//evil.test", "javascript:alert(1)", "/\\evil.test"])
def test_the_colours_lead_to_no_other_site(somebody: Browser, back: str) -> None:
    answer = somebody.post("/theme", {"theme": "dark", "back": back})

    assert answer.headers["Location"] == "/"


def test_colours_that_do_not_exist_are_not_kept(somebody: Browser) -> None:
    answer = somebody.post("/theme", {"theme": 'x" onload="alert(1)'})

    assert [cookie for cookie in answer.headers.getlist("Set-Cookie") if cookie.startswith("theme=")] == []
    assert re.findall(r"<html lang=\"en\" ?([^>]*)>", text_of(somebody, "/style")) == [""]


def test_the_style_page_is_for_development_only() -> None:
    for environment, status in (("development", 200), ("staging", 404), ("production", 404)):
        app = app_without_servers(environment=environment)
        answer = visitor(app).get("/style")
        close_app(app)

        assert (environment, status) == (environment, answer.status_code)


@pytest.mark.parametrize(
    "piece",
    [
        "badge(vile)",
        "heading(vile, vile)",
        "empty(vile, vile, (vile, vile))",
        "error(vile, vile)",
        "field(vile, vile, vile, vile, hint=vile, placeholder=vile)",
        "field(vile, vile, vile, kind='textarea')",
        "select(vile, vile, [(vile, vile)], vile)",
        "confirm('id', vile, vile, '/x', text=vile, verb=vile, name=vile)",
        "copyable(vile)",
        "stat(vile, vile, vile, (vile, 'error'))",
        "link(vile, vile)",
    ],
)
def test_bc_104_a_name_cannot_become_markup(frame: Flask, piece: str) -> None:
    macro = piece.partition("(")[0]
    source = f'{{% from "console/macros.html" import {macro} %}}{{{{ {piece} }}}}'

    with frame.test_request_context("/"):
        html = render_template_string(source, vile=VILE)

    assert "{{7*7}}" in html
    assert "<script" not in html
    assert "<img" not in html
    assert re.findall(r'"[^"<>]*"\s*(?:onerror|onload)=', html) == []


def test_a_problem_is_tied_to_its_field(frame: Flask) -> None:
    source = '{% from "console/macros.html" import field %}{{ field("Budget", "budget", "abc", "must be dollars", hint="Empty: no limit.") }}'

    with frame.test_request_context("/"):
        html = render_template_string(source)

    assert 'aria-invalid="true" aria-describedby="field-budget-problem field-budget-hint"' in html
    assert '<p class="problem" id="field-budget-problem">' in html


def test_a_value_of_nothing_keeps_its_difference_from_zero(frame: Flask) -> None:
    source = (
        '{% from "console/macros.html" import field, money %}{{ field("Budget", "budget", value) }}{{ money(value) }}'
    )

    with frame.test_request_context("/"):
        nothing, zero = (render_template_string(source, value=value) for value in (None, Decimal(0)))

    assert ('value=""' in nothing, "unpriced" in nothing) == (True, True)
    assert 'value="0"' in zero


def test_the_person_is_named_in_the_top_bar(frame: Flask) -> None:
    here = replace(here_as("viewer"), person=Person(user_id=new_id(), email="a@b.test", name="<Ada>"))

    with frame.test_request_context("/"):
        html = render_template_string('{% extends "console/base.html" %}', here=here)

    assert "&lt;Ada&gt;" in html
    assert "viewer of this workspace" in html
