import re
from pathlib import Path

from tests.house.source import ROOT

VERSIONS = sorted((ROOT / "migrations" / "versions").glob("*.py"))


def value(path: Path, name: str) -> str | None:
    found = re.search(rf'^{name} = (?:None|"(\w+)")$', path.read_text(), re.MULTILINE)
    assert found, f"{path.name} has no {name}"
    return found[1]


def test_migrations_are_numbered_without_a_gap() -> None:
    expected = [f"{number:04d}" for number in range(1, len(VERSIONS) + 1)]

    assert VERSIONS
    assert [path.name.split("_")[0] for path in VERSIONS] == expected
    assert [value(path, "revision") for path in VERSIONS] == expected


def test_migrations_are_one_chain_with_one_head() -> None:
    before = [value(path, "down_revision") for path in VERSIONS]

    assert before == [None, *(value(path, "revision") for path in VERSIONS[:-1])]
