"""LLM Gateway: one gateway between a company's applications and every language model."""

from flask import Flask
from flask_migrate import Migrate

from app import extensions
from app.config import MAX_BODY_BYTES, Settings
from app.hosts import Hosts, Site
from app.logging import process_log


def create_app(settings: Settings | None = None) -> Flask:
    """Build the app for the role in the settings; reads the environment when none are given."""
    settings = settings or Settings.read()
    process_log.configure()
    app = Site(__name__, template_folder="../templates", static_folder="../static")
    app.hosts = Hosts(settings.allowed_hosts)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]
    extensions.init_app(app, settings)
    Migrate(app, extensions.db, directory="migrations")
    _register(app, settings.role)
    return app


def _register(app: Flask, role: str) -> None:
    """Mount what the role serves."""
    from app import cli
    from app.api import health
    from app.gateway import api as proxy

    cli.register(app)
    health.register(app)
    if role in {"all", "proxy"}:
        proxy.register(app)
    if role in {"all", "console"}:
        from app import console
        from app.api import scim, v1

        scim.register(app)
        v1.register(app)
        console.register(app)
