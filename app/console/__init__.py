"""The console: server-rendered pages for the people who run a workspace. One module for each noun."""

from flask import Flask

from app.console import (
    applications,
    assets,
    audit,
    errors,
    guard,
    keys,
    members,
    models,
    navigation,
    overview,
    platform,
    providers,
    render,
    settings,
    sign_in,
    style,
    usage,
    wording,
    workspaces,
)

NOUNS = (
    style,
    navigation,
    sign_in,
    workspaces,
    overview,
    usage,
    members,
    audit,
    applications,
    keys,
    models,
    platform,
    providers,
    settings,
)
"""Whose pages there are; each module has its `blueprint`."""

for _noun in NOUNS:
    _noun.blueprint.after_request(render.secure)
    errors.watch(_noun.blueprint)


def register(app: Flask) -> None:
    """Mount the pages. Comes after the API, whose errors stay its own."""
    for part in (render, assets, wording, navigation, guard):
        part.init_app(app)
    app.jinja_env.globals["csrf_token"] = guard.csrf_token  # macros see only what is global
    for noun in NOUNS:
        app.register_blueprint(noun.blueprint)
    errors.install(app)
