"""Takes secrets out of text before it is logged: the last line of defence, not the first.

Code that logs passes no secret on purpose. What comes here is other people's text: an exception
that quotes a header, a driver that prints its address, a statement with its parameters.
"""

import re
from collections.abc import Mapping

HIDDEN = "***"

_SHAPES = (
    # SQL errors print the values of the statement, and PostgreSQL the row that it refused.
    (re.compile(r"\[parameters: .*?(?=\n\(Background|\Z)", re.DOTALL), f"[parameters: {HIDDEN}]"),
    (re.compile(r"(DETAIL:)[^\n]*"), rf"\1 {HIDDEN}"),
    # A password may hold '@', ':' or '/' where nobody encoded it: everything up to the last '@' of the word goes.
    (re.compile(r"(://[^\s:/@]{0,256}):\S{0,512}@"), rf"\1:{HIDDEN}@"),
    (re.compile(r"(?i)\b(bearer|basic)([\s:='\"]|\\[nrt]|%20)+[^\s'\",;]+"), rf"\1 {HIDDEN}"),
    (re.compile(r"\b(gw_[0-9A-Za-z]{8})_[0-9A-Za-z_-]+"), rf"\1_{HIDDEN}"),
    (re.compile(r"(?<![0-9A-Za-z])(sk|gsk|xai|rk|pk)([-_])[0-9A-Za-z_-]{6,}"), rf"\1\2{HIDDEN}"),
    (re.compile(r"\beyJ[0-9A-Za-z_-]{8,}(\.[0-9A-Za-z_-]*)*"), HIDDEN),
    (
        re.compile(
            r"(?i)((?:api[-_ ]?key|secret(?:[-_]key)?|passw(?:or)?d|pwd|token|authorization|cookie|management[-_]key)"
            r"(?:_file)?(?:\\?[\"']?\s*[=:]|\\?[\"'],)\s*(?:b?\\?[\"'])?)(?!\*\*\*|(?:bearer|basic) \*\*\*)[^\s\"',;&}\)\]]+"
        ),
        rf"\1{HIDDEN}",
    ),
)
_HINT = re.compile(r"(?i)://|bearer|basic|gw_|[sr]k|pk[-_]|xai|eyJ|key|secret|passw|pwd|token|auth|cookie|param|DETAIL")
_SECRET_NAME = re.compile(
    r"(?i)(^|_)(authorization|cookie|password|secret|secret_key|api_key|token|credential|sealed)$"
)


def text(value: str) -> str:
    """Replace what looks like a bearer token, a key, a password in an address or SQL parameters."""
    if not _HINT.search(value):
        return value
    for shape, replacement in _SHAPES:
        value = shape.sub(replacement, value)
    return value


def field(name: str, value: object) -> object:
    """Mask one named value: all of it when the name says that it is secret. What is no scalar becomes text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if _SECRET_NAME.search(name.replace("-", "_")):
        return HIDDEN
    if isinstance(value, Mapping):
        return {str(key): field(str(key), inner) for key, inner in value.items()}
    return text(value if isinstance(value, str) else str(value))
