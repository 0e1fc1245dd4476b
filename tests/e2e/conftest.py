"""A real browser in front of a real gateway. What the browser complains about fails the test that caused it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Browser, sync_playwright

from app.console.guard import SESSION_COOKIE
from tests.conftest import Servers
from tests.e2e.corp import Corp, OpenCorp, SignIn, at_the_provider, found_corp
from tests.e2e.stage import Stage, set_up
from tests.e2e.visitor import Visitor
from tests.gateway_process import Gateway
from tests.people import Person
from tests.tls import Authority

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-dev-shm-usage",
)
LIMIT_MS = 10_000

OpenTab = Callable[..., Visitor]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", type=Path, help="write a picture of each page into this folder")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def stage(gateway: Gateway) -> Iterator[Stage]:
    """A workspace that has been at work, on the gateway that the tests share."""
    stage = set_up(gateway)
    yield stage
    stage.upstream.stop()


@pytest.fixture
def open_tab(browser: Browser, gateway: Gateway) -> Iterator[OpenTab]:
    """Open tabs, each of a browser of its own; `person` is signed in already."""
    opened: list[Visitor] = []

    def open_tab(
        person: Person | None = None, *, address: str = gateway.url, friends: tuple[str, ...] = (), **options: Any
    ) -> Visitor:
        context = browser.new_context(
            **{"viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce"} | options
        )
        context.set_default_timeout(LIMIT_MS)
        scripts = options.get("java_script_enabled", True)
        visitor = Visitor(context.new_page(), address, scripts=scripts, friends=friends)
        if person:
            visitor.cookie(SESSION_COOKIE, person.cookie)
        opened.append(visitor)
        return visitor

    yield open_tab
    for visitor in opened:
        visitor.context.close()
    assert [] == [fault for visitor in opened for fault in visitor.faults]


@pytest.fixture
def owner_tab(stage: Stage, open_tab: OpenTab) -> Visitor:
    """A tab of the owner of the stage's workspace."""
    return open_tab(stage.people["owner"])


@pytest.fixture
def pictures(request: pytest.FixtureRequest) -> Path | None:
    """Where pictures go; None: nowhere."""
    folder: Path | None = request.config.getoption("--pictures", default=None)
    return folder


@pytest.fixture(scope="module")
def corp(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corp]:
    """A company with a directory, and a gateway that trusts its certificate authority."""
    folder = tmp_path_factory.mktemp("sso")
    authority = Authority(folder / "tls")
    gateway = Gateway(servers.create(), folder / "gateway", environment={"CA_FILE": str(authority.ca_file)})
    corp = found_corp(gateway, authority, folder)
    yield corp
    corp.idp.stop()
    gateway.stop()


@pytest.fixture
def open_corp(corp: Corp, open_tab: OpenTab) -> OpenCorp:
    """Open tabs of people who may go to the company's directory and back."""

    def opened(person: Person | None = None, **options: Any) -> Visitor:
        friends = (corp.idp.url,)
        return open_tab(person, address=corp.gateway.url, friends=friends, ignore_https_errors=True, **options)

    return opened


@pytest.fixture
def sign_in(corp: Corp, open_corp: OpenCorp) -> SignIn:
    """Sign somebody in with the directory, as far as it goes."""

    def signed_in(
        login: str, *, provider_id: UUID | None = None, onward: str = "/", status: int = 200, **options: Any
    ) -> Visitor:
        tab = open_corp(**options)
        tab.go(f"/sign-in/with/{provider_id or corp.provider_id}?next={onward}")
        at_the_provider(tab, login, status=status)
        return tab

    return signed_in
