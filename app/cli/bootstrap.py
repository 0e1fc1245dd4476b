"""`flask --app wsgi bootstrap`: what a first start needs."""

import click


@click.command("bootstrap")
def bootstrap() -> None:
    """Not there yet."""
