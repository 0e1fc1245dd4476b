"""`/api/v1`: what programs ask about a workspace with a management key. Calls to models are at `/v1`."""

from flask import Flask

from app.api.v1 import nothing, usage, usage_export
from app.api.v1.door import blueprint

__all__ = ["ROUTES", "register"]

ROUTES = (usage, usage_export, nothing)
"""The modules that add routes to the blueprint."""


def register(app: Flask) -> None:
    """Mount the routes."""
    app.register_blueprint(blueprint)
