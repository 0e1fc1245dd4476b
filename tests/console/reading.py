"""Reads a page as a person does: its text, and its forms with what stands in them."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

BLOCKS = frozenset({"p", "li", "dt", "dd", "td", "th", "tr", "div", "option", "label", "h1", "h2", "h3", "a", "button"})
"""Elements that stand apart from what comes before them."""
UNDER = "under"
"""What stands a second time, below a row's name, for where there is little room; it is not read twice."""


@dataclass
class Form:
    """A form of a page. `fields` is what a browser would send, in order."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)

    def values(self, **typed: Any) -> dict[str, Any]:
        """What is sent after some fields were typed over; a list for names that stand there several times."""
        found: dict[str, Any] = {}
        for name, value in self.fields:
            if name == "csrf_token":
                continue
            found[name] = value if name not in found else [*_as_list(found[name]), value]
        return found | typed


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.words: list[str] = []
        self.attributes: list[tuple[str, dict[str, str]]] = []
        self._select = self._area = ""
        self._is_under = False
        self._chosen: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in BLOCKS:
            self.words.append(" ")
        self.attributes.append((tag, given))
        self._is_under |= tag == "div" and given.get("class") == UNDER
        if tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get")))
        if tag == "input" and "name" in given and _is_sent(given):
            self._send(given["name"], given.get("value", "on" if given.get("type") in {"checkbox", "radio"} else ""))
        if tag == "select":
            self._select, self._chosen = given.get("name", ""), None
        if tag == "option" and self._select and ("selected" in given or self._chosen is None):
            self._chosen = given.get("value", "")
        if tag == "textarea":
            self._area = given.get("name", "")
            self._send(self._area, "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._send(self._select, self._chosen or "")
            self._select = ""
        if tag == "textarea":
            self._area = ""
        if tag == "div":
            self._is_under = False

    def handle_data(self, data: str) -> None:
        if not self._is_under:
            self.words.append(data)
        if self._area:
            name, value = self.forms[-1].fields.pop()
            self.forms[-1].fields.append((name, value + data))

    def _send(self, name: str, value: str) -> None:
        if self.forms:
            self.forms[-1].fields.append((name, value))


def text(answer: Any) -> str:
    """The words of a page, white space as one space."""
    return " ".join("".join(_read(answer).words).split())


def form(answer: Any, action: str) -> Form:
    """The form that is sent to this address."""
    found = [one for one in _read(answer).forms if urlsplit(one.action).path == action and one.method == "post"]
    assert len(found) == 1, [one.action for one in _read(answer).forms]
    return found[0]


def links(answer: Any) -> list[str]:
    """Where the links of a page lead."""
    return [given["href"] for tag, given in _read(answer).attributes if tag == "a" and "href" in given]


def attributes(answer: Any) -> list[tuple[str, dict[str, str]]]:
    """Every element with its attributes."""
    return _read(answer).attributes


def is_whole_page(answer: Any) -> bool:
    """Tell a page from a piece of one."""
    return answer.get_data(as_text=True).lstrip().lower().startswith("<!doctype html>")


def _read(answer: Any) -> _Reader:
    reader = _Reader()
    reader.feed(answer if isinstance(answer, str) else answer.get_data(as_text=True))
    return reader


def _is_sent(given: dict[str, str]) -> bool:
    return "disabled" not in given and (given.get("type") not in {"checkbox", "radio"} or "checked" in given)


def _as_list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]
