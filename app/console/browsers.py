"""What a browser calls itself, in words that people know."""

import re

BROWSERS = {"Edge": "Edg", "Opera": "OPR", "Firefox": "Firefox", "Chrome": "Chrome|CriOS", "Safari": "Safari"}
SYSTEMS = {"Windows": "Windows", "Android": "Android", "iOS": "iPhone|iPad", "macOS": "Mac OS X", "Linux": "Linux"}
"""How each names itself to sites; the first that fits, since most also name others."""


def name_of(user_agent: str) -> str:
    """Name a browser and its system, as far as they say what they are."""
    browser, system = (_first(names, user_agent) for names in (BROWSERS, SYSTEMS))
    return " on ".join(filter(None, (browser, system))) or "Unknown browser"


def _first(names: dict[str, str], user_agent: str) -> str | None:
    return next((name for name, word in names.items() if re.search(word, user_agent)), None)
