"""The JSON proxy blueprint: what applications call, in the dialect they speak."""

from flask import Flask

from app import extensions, gateway
from app.gateway.api import openai, usage
from app.gateway.api.mount import json_error

PREFIXES = ("", "/v1", "/v1/v1")
"""A base address with or without `/v1` works, and so does a doubled one."""


def start(app: Flask) -> None:
    """Start the line in this worker; gunicorn calls it after the fork."""
    with app.app_context():
        parts = extensions.settings(), extensions.vault()
    app.extensions["gateway"] = gateway.start(*parts, app.app_context)


def register(app: Flask) -> None:
    """Mount every face, and answer what is not there in JSON."""
    for prefix in PREFIXES:
        name = f"openai{prefix.replace('/', '_')}"
        app.register_blueprint(openai.blueprint, url_prefix=prefix or None, name=name)
    app.register_blueprint(usage.blueprint)
    json_error.install(app)
