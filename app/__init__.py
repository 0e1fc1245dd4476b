"""LLM Gateway: one gateway between a company's applications and every language model."""

from flask import Flask
from flask_migrate import Migrate

from app import extensions
from app.config import MAX_BODY_BYTES, Settings


def create_app(settings: Settings | None = None) -> Flask:
    """Build the app for the role in the settings; reads the environment when none are given."""
    settings = settings or Settings.read()
    app = Flask(__name__, template_folder="../templates", static_folder="../static")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    extensions.init_app(app, settings)
    Migrate(app, extensions.db, directory="migrations")
    return app
