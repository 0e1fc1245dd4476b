"""Takes secrets out of text before it is logged: the last line of defence, not the first.

Code that logs passes no secret on purpose. What comes here is other people's text: an exception
that quotes a header, a driver that prints its address, a statement with its parameters.
"""

import re
from collections.abc import Mapping
from typing import Any

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

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_KEPT_SECRET_NAME = re.compile(
    r"(?i)(^|_)(api_?key|apikey|passw(or)?d|passphrase|pwd|pepper|salt|bearer|secret(s|_value|_access_key)?|tokens?_value"
    r"|private_?key|access_?key|signing_?key|client_?secret|session_id|cookies?|(\w+_)?hash|(\w+_)?digest|credentials)(_file)?$"
)
"""Further names for what is kept for years: hashes too."""
_KEPT_SHAPES = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), HIDDEN),
    (re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"), rf"\1{HIDDEN}"),
    (re.compile(r"\bAIza[0-9A-Za-z_-]{35}"), f"AIza{HIDDEN}"),
    (re.compile(r"\b(gh[pousr]_|github_pat_|xox[abps]-|hf_|r8_|glpat-)[0-9A-Za-z_-]{8,}"), rf"\1{HIDDEN}"),
    (re.compile(r"\$argon2\w*\$[^\s\"']+"), f"$argon2{HIDDEN}"),
)
SAID_OF_SECRETS = frozenset({"changed", "replaced", "dropped", "set", "none", "released", HIDDEN})
"""What may stand under a secret's name: that it changed, not what it is."""
LONGEST = 2_000
DEEPEST = 6
MOST = 500
"""Members of one object or list that are kept."""


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


def document(value: Any, *, name: str = "", depth: int = 0) -> Any:
    """Mask what is kept as JSON, names of members included, and make it storable: no NUL, no half of a pair, not endless."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str) and value in SAID_OF_SECRETS:
        return value
    if isinstance(value, bytes) or _is_secret(name) or depth > DEEPEST:
        return HIDDEN
    if isinstance(value, Mapping):
        return {storable(str(key), LONGEST): _member(value, str(key), depth) for key in list(value)[:MOST]}
    if isinstance(value, list | tuple):
        return [document(inner, depth=depth + 1) for inner in _paired(value)[:MOST]]
    return storable(str(value), LONGEST)


def storable(value: str, longest: int) -> str:
    """Mask a text, then cut it and take out what PostgreSQL has no place for."""
    masked = value[: 4 * longest]
    for shape, replacement in _KEPT_SHAPES:
        masked = shape.sub(replacement, masked)
    masked = text(masked).replace("\0", "\N{REPLACEMENT CHARACTER}")
    masked = masked.encode("utf-8", "replace").decode()
    return masked if len(masked) <= longest else masked[: longest - 1] + "…"


def _member(value: Mapping[Any, Any], key: str, depth: int) -> Any:
    """Mask one member; `{"name": "api_key", "value": "…"}` says the name elsewhere."""
    named = value.get("name", value.get("key"))
    name = named if key == "value" and isinstance(named, str) else key
    return document(value[key], name=name, depth=depth + 1)


def _paired(value: list[Any] | tuple[Any, ...]) -> list[Any]:
    """Hide the second of a pair whose first is the name of a secret: `["authorization", "…"]`."""
    if len(value) == 2 and isinstance(value[0], str) and _is_secret(value[0]) and isinstance(value[1], str):
        return [value[0], HIDDEN]
    return list(value)


def _is_secret(name: str) -> bool:
    words = _CAMEL.sub("_", name).replace("-", "_").replace(" ", "_").replace(".", "_")
    return bool(_SECRET_NAME.search(words) or _KEPT_SECRET_NAME.search(words))
