"""Secrets are looked up by their hash, and where two are compared it takes the same time whatever differs."""

import ast
import re
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from app.auth.callers import Callers
from app.crypto import Vault
from app.units import new_id
from tests.house.source import modules, name_of, tree

WORDS = re.compile(r"secret|token|password|api_?key|digest|hash|signature|cookie|mask|pepper", re.IGNORECASE)
NO_SECRET = re.compile(r"tokens|_(id|url|kind|state)\b|\bowner_of\(", re.IGNORECASE)
IN_SQL = re.compile(r"^[A-Z]\w*Row\.")
"""Columns: the database looks rows up by a hash, and no answer's time tells how much of it was right."""
HARMLESS = {
    "app.console.providers: typed != mask": "the mask is shown to whoever types it",
    "app.auth.callers: trust.discovery == token.discovery": "public addresses",
    "app.auth.mappings: shown != digest(changes)": "a digest of what the page shows to whoever sends it",
    "app.auth.scim_tokens: secrets.checksum(stem) == digits": "a checksum that anybody can work out",
    "app.cli.rebuild: digest != before[name]": "digests of sums, to whoever runs the command",
    "app.console.statements: closed_with == statement.totals_hash": "a digest that the page shows",
    "app.workspace.channels: (row.target, row.sealed_secret) != was": "whether a form has changed anything",
    "app.auth.sessions: func.substr(SessionRow.id_hash, 1, 16) == session_id.bytes": "the database compares",
}
CALLS = 10_000


def test_bc_085_no_secret_is_compared_letter_by_letter() -> None:
    found = {f"{name_of(path)}: {text}" for path in modules() for text in _comparisons(path)}

    assert found - set(HARMLESS) == set()
    assert found >= set(HARMLESS)


def test_bc_085_a_key_that_is_half_right_takes_as_long_as_one_that_is_wrong() -> None:
    vault, callers, right = Vault.of("a-secret-for-tests-of-enough-length"), Callers(), b"gw_abcdefgh_" + b"k" * 43
    callers.update([_row(vault.hash_key(right))])
    half_right, wrong = right[:27] + b"x" * 28, b"x" * 55

    assert callers.find(vault.hash_key(right), 0.0)
    times = _medians(lambda token: callers.find(vault.hash_key(token), 0.0), half_right, wrong)

    assert max(times) < 1.5 * min(times), times


def _comparisons(path: Path) -> Iterator[str]:
    """Comparisons by == and != in which a value that is secret by its name stands on a side."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
            sides = [node.left, *node.comparators]
            texts = [ast.unparse(side) for side in sides]
            literal = any(isinstance(side, ast.Constant) for side in sides)
            if not literal and not any(map(IN_SQL.match, texts)) and any(map(_is_secret, texts)):
                yield ast.unparse(node)


def _is_secret(text: str) -> bool:
    return bool(WORDS.search(text)) and not NO_SECRET.search(text)


def _medians(find: Callable[[bytes], object], *tokens: bytes) -> list[float]:
    """How long a look-up of each token takes; in turn, so that a busy machine is slow for all of them."""
    taken: dict[bytes, list[int]] = {token: [] for token in tokens}
    for number in range(CALLS):
        token = tokens[number % len(tokens)]
        began = time.perf_counter_ns()
        assert find(token) is None
        taken[token].append(time.perf_counter_ns() - began)
    return [statistics.median(times) for times in taken.values()]


def _row(key_hash: bytes) -> dict[str, object]:
    """A key as `keys_since` gives it."""
    ids = {name: new_id() for name in ("workspace_id", "application_id", "key_id")}
    rest = {"active": True, "kind": "proxy", "models": ["*"], "limit_requests_per_min": None, "expires_at": None}
    rest |= {"networks": []}
    return ids | rest | {"timezone": "UTC", "secrets": [{"hash": key_hash.hex(), "valid_until": None}]}
