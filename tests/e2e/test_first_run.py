"""The first quarter of an hour of somebody who has just started `script/server`, from the first password to the bill."""

import csv
import io
import re
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.deploy.conftest import installing
from tests.deploy.installation import Installation, clone_into
from tests.e2e.conftest import OpenTab
from tests.e2e.visitor import Visitor
from tests.gateway_process import eventually

VISIBLE_WITHIN_S = 2.0


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("first-run")
    with installing(clone_into(folder), folder) as install:
        installation = install()
        installation.start()
        yield installation
        installation.stop()


def test_from_the_first_password_to_the_bill(installation: Installation, open_tab: OpenTab) -> None:
    tab = open_tab(address=installation.url)

    sign_in(tab, *first_admin(installation))
    make_workspace(tab, "Acme")
    make_application(tab, "Chatbot")
    secret = make_key(tab, "Chatbot", "Production")
    assert "Hello from the journey" == call(installation, secret, "Hello from the journey")
    answered_at = time.monotonic()
    took_s = usage_shows(tab, "Chatbot", answered_at)
    rows = download(tab)

    assert took_s < VISIBLE_WITHIN_S
    assert [row for row in rows if "Chatbot" in row.values()], rows
    assert secret not in tab.page.content()


def first_admin(installation: Installation) -> tuple[str, str]:
    found = re.search(r"Admin: +(\S+), first password: (\S+)", (installation.home / "first-run.txt").read_text())
    assert found is not None
    return found[1], found[2]


def sign_in(tab: Visitor, email: str, password: str) -> None:
    tab.go("/")
    tab.fill("E-mail", email)
    tab.fill("Password", password)
    tab.press("Sign in")


def make_workspace(tab: Visitor, name: str) -> None:
    tab.go("/workspaces")
    tab.follow("New workspace")
    tab.fill("Name", name)
    tab.press("Create workspace")


def make_application(tab: Visitor, name: str) -> None:
    tab.follow("Applications")
    tab.follow("New application")
    tab.fill("Name", name)
    tab.press("Create application")


def make_key(tab: Visitor, application: str, name: str) -> str:
    """Make a key and read its secret, which is shown this once."""
    tab.follow("API keys")
    tab.follow("New key")
    tab.choose("Application", application)
    tab.fill("Name", name)
    tab.press("Create key")
    secret = tab.page.locator("code", has_text=re.compile(r"^gw_")).first.inner_text()
    return secret.strip()


def call(installation: Installation, secret: str, words: str) -> str | None:
    """Call the gateway with OpenAI's own client."""
    http = openai.DefaultHttpxClient(trust_env=False)
    with openai.OpenAI(base_url=f"{installation.url}/v1", api_key=secret, max_retries=0, http_client=http) as client:

        def answer() -> openai.types.chat.ChatCompletion | None:
            try:
                return client.chat.completions.create(model="echo", messages=[{"role": "user", "content": words}])
            except openai.AuthenticationError:
                return None

        return eventually(answer, 1.0).choices[0].message.content


def usage_shows(tab: Visitor, word: str, since: float) -> float:
    """Reload the usage page until the call is on it; answer how long that took."""
    tab.follow("Usage")

    def shown() -> bool:
        tab.page.reload()
        return word in tab.page.locator("main").inner_text()

    eventually(shown, 10.0)
    return time.monotonic() - since


def download(tab: Visitor) -> list[dict[str, str]]:
    with tab.page.expect_download() as download:
        tab.page.get_by_role("link", name=re.compile("CSV")).first.click()
    text = Path(download.value.path()).read_text("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))
