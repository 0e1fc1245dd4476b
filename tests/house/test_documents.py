import re
import stat
from pathlib import Path

import pytest

from tests.house.source import ROOT, tracked

DOCUMENTS = [path for path in tracked() if path.suffix == ".md"]
TEXT = {".py", ".md", ".toml", ".txt", ".in", ".yaml", ".yml", ".html", ".css", ".svg", ".ini", ".mako", ".example", ""}
MACHINE_PATHS = re.compile(r"(?<![\w.$}])/(?:work|root|home/\w+|Users/\w+|workspace)/[\w.\-]+")


def anchors(path: Path) -> set[str]:
    """The headings of a document as links name them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://|mailto:)([^)\s]+)\)", document.read_text())
    lost = []
    for link in links:
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)

    assert lost == []


def test_the_documents_that_people_look_for_are_there() -> None:
    names = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", ".env.example", "docs/architecture.md")

    assert [name for name in names if not (ROOT / name).is_file()] == []


def test_the_readme_begins_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    first_block = re.findall(r"```(?:sh|bash)\n(.*?)```", text, re.DOTALL)[0]

    commands = [line.split("#")[0].strip() for line in first_block.splitlines()]
    assert commands == ["script/server", "script/test"]


def test_files_that_the_documents_name_exist() -> None:
    named = [
        (document, name)
        for document in DOCUMENTS
        for name in re.findall(
            r"`((?:app|deploy|docs|migrations|script|tests|templates|static)/[\w./\-]+)`", document.read_text()
        )
    ]

    assert named
    assert [f"{document.name}: {name}" for document, name in named if not (ROOT / name).exists()] == []


def test_decisions_are_numbered_and_short() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))

    assert [path.name[:4] for path in decisions] == [f"{number:04d}" for number in range(1, len(decisions) + 1)]
    assert [path.name for path in decisions if path.read_text().count("\n") > 40] == []


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in tracked()
        if path.suffix in TEXT
        for match in MACHINE_PATHS.finditer(path.read_text())
    ]

    assert found == []


def test_scripts_can_be_run() -> None:
    scripts = [ROOT / "script" / name for name in ("server", "test", "check")] + [ROOT / ".ci" / "run"]

    assert [str(path) for path in scripts if not path.stat().st_mode & stat.S_IXUSR] == []
