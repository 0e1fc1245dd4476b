"""Copies of the repository and installations of it, none of which outlives its test."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deploy.installation import Installation, clone_into

Install = Callable[..., Installation]


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository in a folder that only its owner may enter."""
    folder = tmp_path_factory.mktemp("private")
    folder.chmod(0o700)
    return clone_into(folder)


@contextlib.contextmanager
def installing(clone: Path, folder: Path) -> Iterator[Install]:
    """Make installations below the folder; what still runs at the end is killed."""
    made: list[Installation] = []

    def install(**environment: str) -> Installation:
        place = folder / f"installation-{len(made)}"
        place.mkdir(mode=0o700, parents=True)
        made.append(Installation(clone, place, **environment))
        return made[-1]

    yield install
    for installation in made:
        if installation.process:
            installation.process.kill()
            installation.process.wait()
        for line in installation.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)


@pytest.fixture
def install(clone: Path, tmp_path: Path) -> Iterator[Install]:
    with installing(clone, tmp_path) as install:
        yield install


@pytest.fixture(scope="module")
def running(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation that was started for the first time and runs; tests leave it running."""
    with installing(clone, tmp_path_factory.mktemp("running")) as install:
        installation = install()
        installation.start()
        yield installation
