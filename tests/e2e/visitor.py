"""A person at a real browser: what they do on the pages, and all that the browser complained about meanwhile."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Response

AXE = (Path(__file__).parent / "vendor/axe.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
STATUS = re.compile(r"the server responded with a status of (\d{3})|Response Status Error Code (\d{3})")
"""How the browser and htmx put an answer that was no success."""
LIMIT_MS, STEP_MS = 5_000, 10
SETTLED = """() => document.readyState == 'complete'
    && !document.querySelector('.htmx-request, .htmx-swapping, .htmx-settling')"""
AT_REST = """() => new Promise((done, failed) => {
    let still = 0
    const look = () => {
        still = document.getAnimations().some(one => one.playState != 'finished') ? 0 : still + 1
        still > 5 ? done() : requestAnimationFrame(look)
    }
    setTimeout(() => failed(new Error('the page does not come to rest')), 5000)
    look()
})"""
"""Colours are inherited level by level, each in a frame of its own where anything has a transition.

What has finished inside a closed menu stays in the list, since nothing is drawn there.
"""
OVERFLOWING = """() => {
    const width = document.documentElement.clientWidth
    if (document.documentElement.scrollWidth <= width) return []
    return [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > width + 1)
        .slice(0, 5).map(e => e.tagName + '.' + e.className)
}"""


@dataclass
class Visitor:
    """One tab. `faults` is what must be empty at the end: script errors, policy violations, foreign hosts.

    `friends` are the addresses of other sites that the tab is meant to go to.
    """

    page: Page
    address: str
    scripts: bool = True
    friends: tuple[str, ...] = ()
    faults: list[str] = field(default_factory=list)
    expected: int | None = None
    met: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.faults.append(f"script error: {error}"))
        self.page.on("request", self._asked)

    @property
    def context(self) -> BrowserContext:
        return self.page.context

    @property
    def path(self) -> str:
        """Where the tab is."""
        parts = urlsplit(self.page.url)
        return parts.path + (f"?{parts.query}" if parts.query else "")

    def query(self, name: str) -> str | None:
        """A value in the tab's address."""
        return next(iter(parse_qs(urlsplit(self.page.url).query).get(name, [])), None)

    def go(self, path: str) -> Response:
        """Open a page by its address."""
        answer = self.page.goto(self.address + path)
        assert answer is not None
        return answer

    def read(self) -> str:
        """The text that the page shows."""
        return self.page.locator("body").inner_text()

    def settle(self) -> None:
        """Wait until nothing is being loaded or swapped."""
        if self.scripts:
            self.page.wait_for_function(SETTLED)

    def fill(self, label: str, value: str) -> None:
        self.page.get_by_label(label, exact=True).locator("visible=true").first.fill(value)

    def type(self, name: str, value: str) -> None:
        """Fill the field that is sent under this name."""
        self.page.locator(f"main [name='{name}']").first.fill(value)

    def choose(self, label: str, text: str) -> None:
        """Take an entry of a list of choices by its text."""
        self.page.get_by_label(label, exact=True).first.select_option(label=text)

    def heading(self) -> str:
        return self.page.locator("h1").inner_text()

    def press(self, button: str) -> None:
        """Press a button and wait for what comes of it."""
        self._click("button", button)

    def follow(self, link: str) -> None:
        """Follow a link and wait for where it leads."""
        self._click("link", link)

    def _click(self, role: Literal["button", "link"], name: str) -> None:
        """Without scripts each click leads to a page; with them it may change the one that is there."""
        found = self.page.get_by_role(role, name=name, exact=True).first
        with nullcontext() if self.scripts else self.page.expect_navigation():
            found.click()
        self.settle()

    def cookie(self, name: str, value: str) -> None:
        self.context.add_cookies([{"name": name, "value": value, "url": self.address}])

    @contextmanager
    def expecting(self, status: int) -> Iterator[None]:
        """The browser and htmx write every 4xx and 5xx answer into the console; this one is meant, and must come."""
        self.expected, before = status, len(self.met)
        yield
        self._wait(lambda: len(self.met) > before, f"no answer was {status}")
        self.settle()
        self.expected = None

    def wait_for_fault(self) -> None:
        """Wait until something has gone wrong."""
        self._wait(lambda: bool(self.faults), "nothing went wrong")

    def breaches(self) -> list[str]:
        """What axe finds wrong with the page as it is; it is evaluated past the page's policy, which stays in force."""
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.evaluate(AXE)
        found: Mapping[str, Any] = self.page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
        return [
            f"{breach['id']}: {node['html'][:160]} ({'; '.join(check['message'] for check in node['any'][:2])})"
            for breach in found["violations"]
            for node in breach["nodes"]
        ]

    def overflow(self, width: int) -> list[str]:
        """What reaches past the right edge of a window this wide."""
        self.resize(width, 800)
        return [str(element) for element in self.page.evaluate(OVERFLOWING)]

    def picture(self, folder: Path | None, name: str, *, width: int = 1440) -> None:
        """Take a picture of the page, where somebody wants it."""
        if folder is None:
            return
        self.resize(width, 900 if width > 800 else 844)
        folder.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=folder / f"{name.replace(' ', '-')}.png", animations="disabled")

    def resize(self, width: int, height: int) -> None:
        """Make the window so large; the page knows of it a moment later."""
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.wait_for_function("size => innerWidth == size[0] && innerHeight == size[1]", arg=[width, height])

    def in_scheme(self, scheme: str) -> None:
        """Ask for `light` or `dark` as the system does."""
        self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        self.page.wait_for_function("scheme => matchMedia(`(prefers-color-scheme: ${scheme})`).matches", arg=scheme)
        self.page.evaluate(AT_REST)

    def _wait(self, condition: Callable[[], bool], otherwise: str) -> None:
        """Let the browser go on until a condition holds."""
        for _ in range(LIMIT_MS // STEP_MS):
            if condition():
                return
            self.page.wait_for_timeout(STEP_MS)
        raise AssertionError(otherwise)

    def _heard(self, message: ConsoleMessage) -> None:
        status = STATUS.search(message.text)
        if status and int(status[1] or status[2]) == self.expected:
            self.met.append(message.text)
        elif message.type in {"error", "warning"}:
            self.faults.append(f"{message.type} on {self.page.url}: {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.address, *self.friends, "data:", "blob:")):
            self.faults.append(f"a request to another host: {request.url}")
