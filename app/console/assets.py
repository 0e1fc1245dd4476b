"""Finds the built files: `asset('app.css')` is the address of the hashed file that stands for it now.

`script/assets` builds them and writes `static/manifest.json`. The name changes with the content, so
a browser may keep a file for ever.
"""

import json
from functools import lru_cache
from pathlib import Path

from flask import Flask, Response, abort, current_app, send_from_directory, url_for

KEPT_S = 365 * 86_400


def init_app(app: Flask) -> None:
    """Serve the built files so that they are kept, and let templates find them."""
    app.jinja_env.globals["asset"] = asset
    app.add_url_rule("/static/<any(built, vendor):folder>/<path:filename>", "kept", kept)
    app.add_url_rule("/static/src/<path:filename>", "sources", sources)


def asset(name: str) -> str:
    """Find the address of a built file; raise `KeyError` when `script/assets` does not make it."""
    manifest = Path(str(current_app.static_folder)) / "manifest.json"
    folder, _, filename = _names(manifest, manifest.stat().st_mtime_ns)[name].partition("/")
    return url_for("kept", folder=folder, filename=filename)


def kept(folder: str, filename: str) -> Response:
    """Send a built file, to be kept for a year: its content never changes."""
    response = send_from_directory(f"{current_app.static_folder}/{folder}", filename, max_age=KEPT_S)
    response.cache_control.public = True
    response.cache_control.immutable = True
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def sources(filename: str) -> Response:  # noqa: ARG001 - the route's part
    """Send nothing of what the files are built from, nor of the programs that build them."""
    abort(404)


@lru_cache(maxsize=2)
def _names(manifest: Path, written_at: int) -> dict[str, str]:  # noqa: ARG001 - makes a rebuilt manifest be read again
    names: dict[str, str] = json.loads(manifest.read_text())
    return names
