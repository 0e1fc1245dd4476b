"""The `flask` commands: thin faces over the services."""

from flask import Flask

from app.cli.apply import apply
from app.cli.bootstrap import bootstrap


def register(app: Flask) -> None:
    """Add the commands to the app."""
    app.cli.add_command(apply)
    app.cli.add_command(bootstrap)
