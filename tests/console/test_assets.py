import json
import re
from collections.abc import Iterator
from hashlib import sha256

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.console.shell import app_without_servers, text_of
from tests.gateway_process import ROOT, close_app

MANIFEST: dict[str, str] = json.loads((ROOT / "static/manifest.json").read_text())


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    app: Flask = app_without_servers()
    yield app.test_client()
    close_app(app)


def test_a_built_file_is_named_by_its_content() -> None:
    wrong = {
        name: path
        for name, path in MANIFEST.items()
        if sha256((ROOT / "static" / path).read_bytes()).hexdigest()[:10] not in path
    }

    assert MANIFEST
    assert wrong == {}


@pytest.mark.parametrize("name", MANIFEST)
def test_a_built_file_is_kept_for_ever(client: FlaskClient, name: str) -> None:
    with client.get(f"/static/{MANIFEST[name]}") as answer:
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["src/package.json", "src/build.mjs", "src/node_modules/.installed", "built/../src/package.json", "built/x"]
)
def test_what_the_files_are_built_from_is_not_served(client: FlaskClient, path: str) -> None:
    assert client.get(f"/static/{path}").status_code == 404


def test_what_a_page_refers_to_is_there(client: FlaskClient) -> None:
    page = text_of(client, "/style")
    paths = set(re.findall(r'(?:src|href)="(/static/[^"#]+)', page))

    assert len(paths) >= 5
    for path in paths:
        with client.get(path) as answer:
            assert (200, path) == (answer.status_code, path)


def test_every_icon_that_a_page_names_is_in_the_sprite(client: FlaskClient) -> None:
    icons = set(re.findall(r'<use href="[^"]+#([\w-]+)"', text_of(client, "/style")))
    drawn = set(re.findall(r'<symbol id="([\w-]+)"', (ROOT / "static" / MANIFEST["icons.svg"]).read_text()))

    assert len(icons) > 20
    assert icons - drawn == set()


def test_the_stylesheet_loads_nothing_from_elsewhere() -> None:
    css = (ROOT / "static" / MANIFEST["app.css"]).read_text()
    addresses = re.findall(r"url\(([^)]*)\)", css)

    assert [address for address in addresses if not address.strip("\"'").startswith(("data:", "../vendor/"))] == []
    assert re.findall(r"@import", css) == []


def test_packages_are_pinned_and_their_lock_names_no_address() -> None:
    package = json.loads((ROOT / "static/src/package.json").read_text())
    lock = (ROOT / "static/src/package-lock.json").read_text()

    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in package["dependencies"].values())
    assert "http" not in lock
    assert '"integrity"' in lock
