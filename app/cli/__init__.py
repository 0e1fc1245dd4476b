"""The `flask` commands: thin faces over the services."""

from flask import Flask

from app.cli.accounts import allow_passwords, end_sessions, reset_totp
from app.cli.apply import apply
from app.cli.bootstrap import bootstrap
from app.cli.management_key import management_key
from app.cli.networks import allow_networks
from app.cli.rebuild import rebuild
from app.cli.rejects import replay_rejects
from app.cli.rotate import rotate_secrets


def register(app: Flask) -> None:
    """Add the commands to the app."""
    app.cli.add_command(apply)
    app.cli.add_command(bootstrap)
    app.cli.add_command(allow_networks)
    app.cli.add_command(management_key)
    app.cli.add_command(rotate_secrets)
    app.cli.add_command(rebuild)
    app.cli.add_command(replay_rejects)
    app.cli.add_command(reset_totp)
    app.cli.add_command(end_sessions)
    app.cli.add_command(allow_passwords)
