"""Makes the database ready: newest schema, secrets sealed with the newest key, a configuration file, a first start's needs.

`python -m deploy.local.prepare ECHO_URL [FILE]`, run before the gateway starts, in one process
since each import of the app costs half a second. Writes what `bootstrap` says to stdout, one JSON object.
"""

import contextlib
import io
import sys
from pathlib import Path

import flask_migrate
import redis
from flask import Flask
from flask.cli import ScriptInfo
from sqlalchemy.exc import OperationalError

from app import create_app
from app.crypto import Keys


def main(echo_url: str, *files: str) -> None:
    """Do the steps; end with a sentence and code 1 at the first that fails."""
    app = create_app()
    _check_secret_key(app)
    try:
        _check_redis(app)
        with app.app_context():
            flask_migrate.upgrade()
            if app.extensions["settings"].secret_key_previous:
                sys.stderr.write(_command(app, "rotate-secrets"))
                _mark(app).write_text(_key_id(app.extensions["vault"].newest) + "\n")
            for file in files:
                sys.stderr.write(_command(app, "apply", file))
            made = _command(app, "bootstrap", "--echo-url", echo_url)
    except redis.exceptions.RedisError as error:
        sys.exit(f"REDIS_URL: the server cannot be used: {error}")
    except OperationalError as error:
        sys.exit(f"DATABASE_URL: the server cannot be used: {error.orig}")
    sys.stdout.write(made)


def _check_secret_key(app: Flask) -> None:
    """Refuse to start without the key that this home's secrets were made with: none of them would work."""
    mark, ring = _mark(app), [_key_id(keys) for keys in app.extensions["vault"].ring]
    if not mark.exists():
        mark.touch(mode=0o600)
        mark.write_text(ring[0] + "\n")
    elif mark.read_text().strip() not in ring:
        sys.exit(
            f"SECRET_KEY: is not the one that {mark.parent} was last started with; give that one again,"
            " or give it as SECRET_KEY_PREVIOUS to change it."
        )


def _mark(app: Flask) -> Path:
    """Where the key is named that stored secrets are sealed with."""
    return Path(app.extensions["settings"].home) / "secret-key.id"


def _key_id(keys: Keys) -> str:
    return keys.key_id.hex()


def _check_redis(app: Flask) -> None:
    """Refuse a cluster: the job queue cannot live on one, and neither can limits yet."""
    for name, setting in (("redis", "REDIS_URL"), ("queue_redis", "QUEUE_REDIS_URL")):
        if app.extensions[name].info("cluster").get("cluster_enabled"):
            sys.exit(f"{setting}: the server is a Redis Cluster; give the address of a single server.")


def _command(app: Flask, *arguments: str) -> str:
    """Run a `flask` command and give what it printed. One that fails has said why and ends this process."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            app.cli.main(list(arguments), prog_name="flask --app wsgi", obj=ScriptInfo(create_app=lambda: app))
    except SystemExit as end:
        if end.code:
            sys.stderr.write(printed.getvalue())
            raise
    return printed.getvalue()


if __name__ == "__main__":
    main(*sys.argv[1:])
