"""`script/flask`: a command of the gateway, with what the `script/server` of this home has made: addresses and the secret key."""

import fcntl
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.local.home import Home
from deploy.local.supervisor import say

ROOT = Path(__file__).resolve().parents[2]
KEPT = "environment.json"


def keep(home: Home, environ: Mapping[str, str], given: Mapping[str, str]) -> None:
    """Keep what the server has added to the settings that it was given; those, with their secrets, are not written down."""
    made = {name: value for name, value in environ.items() if given.get(name) != value}
    home.write_private(KEPT, json.dumps(made) + "\n")


def main(arguments: list[str]) -> None:
    """Become the command; exit with 1 where no server runs."""
    home = Path(os.environ.get("GATEWAY_HOME", "").strip() or ROOT / "var")
    if not _is_running(home):
        say(
            f"No script/server runs with the home {home}. Start it, or set GATEWAY_HOME to the home of the one that runs."
        )
        sys.exit(1)
    made = json.loads((home / KEPT).read_text())
    command = [sys.executable, "-P", "-m", "flask", "--app", "wsgi", *arguments]
    os.execve(command[0], command, os.environ | made)  # noqa: S606  # there is no shell here, as wanted


def _is_running(home: Path) -> bool:
    """Tell whether a server has the home and has come as far as to keep what it made."""
    if not (home / KEPT).exists():
        return False
    with (home / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


if __name__ == "__main__":
    main(sys.argv[1:])
