"""No process starts with a secret that everybody knows."""

import os
import re
import subprocess
import sys
from typing import Any

import pytest

from tests.gateway_process import ROOT

PROGRAMS = {
    "web": ("-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "wsgi:app"),
    "worker": ("worker.py",),
    "bootstrap": ("-m", "flask", "--app", "wsgi", "bootstrap"),
}
SAMPLES = dict(re.findall(r"^#?\s?([A-Z_]+(?:KEY|PASSWORD))=(\S+)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
KNOWN = ["", "   ", "changeme", "ChangeMe", "short", *sorted(set(SAMPLES.values()))]
MISTAKES = [("SECRET_KEY", None), *(("SECRET_KEY", value) for value in KNOWN)]
MISTAKES += [("BOOTSTRAP_ADMIN_PASSWORD", "changeme"), ("BOOTSTRAP_ADMIN_PASSWORD", "password")]
MISTAKES += [("BOOTSTRAP_MANAGEMENT_KEY", "changeme")]


def start(program: str, settings: dict[str, str | None]) -> subprocess.CompletedProcess[str]:
    """Run a program that ends by itself, or is ended when it goes on."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    given = {name: value for name, value in settings.items() if value is not None}
    command = [sys.executable, *PROGRAMS[program]]
    return subprocess.run(command, cwd=ROOT, env=kept | given, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def working(fresh_database: Any, redis_url: str, tmp_path: Any) -> dict[str, str | None]:
    """Settings with which everything would start."""
    return {
        "DATABASE_URL": fresh_database.app_url,
        "DATABASE_OWNER_URL": fresh_database.owner_url,
        "DATABASE_INGEST_URL": fresh_database.ingest_url,
        "REDIS_URL": redis_url,
        "GATEWAY_HOME": str(tmp_path),
        "SECRET_KEY": "0123456789abcdef" * 4,
    }


@pytest.mark.parametrize(("name", "value"), MISTAKES)
def test_bc_084_a_secret_that_everybody_knows_starts_nothing(working: Any, name: str, value: str | None) -> None:
    ended = start("bootstrap", working | {name: value})

    assert 0 != ended.returncode
    assert f"{name}: " in ended.stderr
    assert not value or len(value) < 9 or value not in ended.stderr


@pytest.mark.parametrize("program", ["web", "worker"])
@pytest.mark.parametrize(("name", "value"), [("SECRET_KEY", None), ("SECRET_KEY", SAMPLES["SECRET_KEY"])])
def test_bc_084_neither_web_nor_worker_starts(working: Any, program: str, name: str, value: str | None) -> None:
    ended = start(program, working | {name: value})

    assert 0 != ended.returncode
    assert f"{name}: " in ended.stderr


def test_bc_084_without_a_first_password_one_is_drawn(working: Any) -> None:
    first, second = (start("bootstrap", working | {"BOOTSTRAP_ADMIN_PASSWORD": value}) for value in (None, ""))

    assert [0, 0] == [first.returncode, second.returncode], first.stderr
    drawn = re.findall(r'"admin_password": "([^"]+)"', first.stdout)
    assert 12 <= len(drawn[0])
    assert '"admin_password": null' in second.stdout
