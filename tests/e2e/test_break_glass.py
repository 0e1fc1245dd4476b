"""Single sign-on is required after a test, and the break-glass admin gets in without it: with a real provider over TLS."""

from collections.abc import Iterator

import httpx
import pytest

from app.auth import policy
from app.units import utc_now
from tests import people
from tests.e2e.corp import Corp, OpenCorp, SignIn, at_the_provider
from tests.e2e.visitor import Visitor
from tests.factories import unique
from tests.gateway_process import eventually
from tests.people import PASSWORD, Person
from tests.second_factor import break_glass_admin, code

pytestmark = pytest.mark.oidc


@pytest.fixture
def root(corp: Corp) -> Iterator[tuple[Person, str]]:
    """A break-glass admin and the secret; passwords work again after the test."""
    with corp.gateway.services():
        admin = break_glass_admin()
    yield admin
    with corp.gateway.services():
        policy.allow_passwords(now=utc_now())


def give_password(tab: Visitor, person: Person) -> None:
    tab.go("/sign-in/local")
    tab.fill("E-mail", person.email)
    tab.fill("Password", PASSWORD)


def require(corp: Corp, tab: Visitor) -> None:
    """Come through a test sign-in, then require single sign-on, as the page leads."""
    login = corp.idp.knows(unique("root"), roles=["Gateway.Developer"])
    tab.go("/platform/sign-in")
    tab.follow("Corp")
    tab.follow("Test sign-in")
    at_the_provider(tab, login)
    tab.go("/platform/sign-in")
    tab.press("Require…")
    tab.press("Require single sign-on")


def test_it_is_required_only_after_a_test(corp: Corp, open_corp: OpenCorp, root: tuple[Person, str]) -> None:
    admin, _ = root
    tab = open_corp(admin)
    tab.go("/platform/sign-in")
    before = tab.page.get_by_role("button", name="Require…").count()

    require(corp, tab)

    assert 0 == before
    assert "Single sign-on is required." in tab.page.locator("#toasts").inner_text()
    assert f"local sign-in of {admin.email}" in tab.page.locator("main").inner_text()


def test_passwords_open_nothing_then_but_the_provider_does(
    corp: Corp, open_corp: OpenCorp, sign_in: SignIn, root: tuple[Person, str]
) -> None:
    with corp.gateway.services():
        jane = people.member(corp.workspace_id, "viewer", password=PASSWORD)
    inside = open_corp(jane)
    inside.go(f"/w/{corp.workspace_id}/keys")
    require(corp, open_corp(root[0]))

    inside.page.reload()
    signed_out = inside.heading()
    give_password(inside, jane)
    with inside.expecting(403):
        inside.press("Sign in")
    login = corp.idp.knows(unique("john"), roles=["Gateway.Developer"])
    other = sign_in(login, onward=f"/w/{corp.workspace_id}/keys")

    assert "Sign in" == signed_out
    assert "Sign in with your identity provider." in inside.page.locator("main").inner_text()
    assert "API keys" == other.heading()


def test_the_break_glass_admin_gets_in_and_everybody_who_runs_it_is_told(
    corp: Corp, open_corp: OpenCorp, root: tuple[Person, str]
) -> None:
    admin, secret = root
    require(corp, open_corp(admin))
    tab = open_corp()

    give_password(tab, admin)
    tab.press("Sign in")
    tab.fill("Code", code(secret))
    tab.press("Sign in")
    tab.go("/platform")

    assert f"{admin.email} from 127.0.0.1" in tab.page.locator("main [role=status]").inner_text()
    assert "break-glass sign-in" in corp.gateway.log_text()
    assert [("done", admin.email)] == [
        (one["outcome"], one["object_name"])
        for one in corp.audited("session.break_glass")
        if one["object_name"] == admin.email
    ]
    assert eventually(lambda: counted(corp) > 0)


def counted(corp: Corp) -> float:
    """What a scrape says of break-glass sign-ins."""
    page = httpx.get(corp.gateway.metrics_url, trust_env=False).text
    lines = [line for line in page.splitlines() if line.startswith("gateway_break_glass_sign_ins_total ")]
    return sum(float(line.split()[1]) for line in lines)
