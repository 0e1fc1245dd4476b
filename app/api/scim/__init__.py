"""`/scim/v2`: SCIM 2.0 (RFC 7643, RFC 7644) as Microsoft Entra ID's provisioning speaks it, and others do.

https://learn.microsoft.com/entra/identity/app-provisioning/use-scim-to-provision-users-and-groups, read 2026-11-25.
"""

from flask import Flask

from app.api.scim import answers, discovery, groups, users
from app.api.scim.door import blueprint

__all__ = ["ROUTES", "register"]

ROUTES = (discovery, users, groups)
"""The modules that add routes to the blueprint."""


answers.watch(blueprint)


def register(app: Flask) -> None:
    """Mount the routes."""
    app.register_blueprint(blueprint)
