import ast
import re

import pytest

from app.config import PROVIDER_KEYS, InvalidSettings, Settings
from tests.house.source import APP, ROOT, imports, modules, name_of, tree

EXAMPLE = (ROOT / ".env.example").read_text()
README = (ROOT / "README.md").read_text()
WORKING = {
    "DATABASE_URL": "postgresql://gateway_app:x@127.0.0.1/gateway",
    "DATABASE_INGEST_URL": "postgresql://gateway_ingest:x@127.0.0.1/gateway",
    "REDIS_URL": "redis://127.0.0.1/0",
    "SECRET_KEY": "0123456789abcdef0123456789abcdef0123456789abcdef",
}


def variables() -> set[str]:
    """What config.py reads: the first argument of each call on its reader, and the provider keys."""
    calls = [node for node in ast.walk(tree(APP / "config.py")) if isinstance(node, ast.Call)]
    read = {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "reader"
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }
    return {str(name) for name in read} | set(PROVIDER_KEYS)


def secrets() -> list[str]:
    """The settings that also come from a file and are no address."""
    return sorted(set(re.findall(r'reader\.secrets?\("(\w+)"', (APP / "config.py").read_text())))


def setting_of(name: str) -> str:
    """The setting that a variable gives: itself, or the one whose value is in the file that it names."""
    return name if name in variables() else name.removesuffix("_FILE")


def examples() -> dict[str, str]:
    """The variables of .env.example with the values it shows, commented out or not."""
    return dict(re.findall(r"^#?\s?([A-Z][A-Z0-9_]+)=(.*)$", EXAMPLE, re.MULTILINE))


def documented() -> set[str]:
    """The variables of README's table of settings."""
    rows = re.findall(r"^\| (`[A-Z][^|]*) \|", README, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", row)}


def test_every_setting_is_in_the_example_and_no_other() -> None:
    assert variables() == {setting_of(name) for name in examples()}


def test_every_setting_is_in_the_readme_and_no_other() -> None:
    assert variables() == documented()


def test_there_are_settings() -> None:
    assert {"PORT", "SECRET_KEY", "OPENAI_API_KEY"} <= variables()
    assert "SECRET_KEY" in secrets()


@pytest.mark.parametrize("name", secrets())
def test_the_examples_secrets_are_refused(name: str) -> None:
    shown = examples()[name]

    with pytest.raises(InvalidSettings) as refused:
        Settings.read(WORKING | {name: shown or "changeme"})

    assert any(problem.startswith(f"{name}:") for problem in refused.value.problems)


def test_the_example_has_no_working_password() -> None:
    passwords = re.findall(r"://[^\s:/@]*:([^\s@]+)@", EXAMPLE)

    assert passwords
    assert set(passwords) == {"PASSWORD"}


def test_only_config_reads_the_environment() -> None:
    words = {"environ", "environb", "getenv", "getenvb"}
    readers = []
    for path in modules():
        read = [
            node.lineno
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Attribute) and node.attr in words and ast.unparse(node.value) == "os"
        ]
        read += [one.line for one in imports(path) if one.module in {f"os.{word}" for word in words}]
        readers += [f"{name_of(path)}:{line}" for line in read if path.name != "config.py"]

    assert readers == []
