"""The console: server-rendered pages for the people who run a workspace. One module for each noun."""

from flask import Flask

from app.console import (
    account,
    applications,
    assets,
    audit,
    budgets,
    channels,
    deliveries,
    errors,
    exports,
    guard,
    identity_providers,
    keys,
    local_sign_in,
    mappings,
    members,
    models,
    navigation,
    overview,
    people,
    periods,
    platform,
    platform_mappings,
    price_import,
    price_terms,
    prices,
    providers,
    provisioning,
    recompute,
    render,
    require_sso,
    settings,
    sign_in,
    sso,
    statements,
    style,
    usage,
    wording,
    workload_tokens,
    workspaces,
)

NOUNS = (
    style,
    navigation,
    sign_in,
    local_sign_in,
    sso,
    account,
    workspaces,
    overview,
    usage,
    exports,
    periods,
    statements,
    members,
    mappings,
    audit,
    applications,
    keys,
    workload_tokens,
    models,
    prices,
    price_terms,
    price_import,
    platform,
    people,
    identity_providers,
    require_sso,
    provisioning,
    platform_mappings,
    providers,
    budgets,
    channels,
    deliveries,
    recompute,
    settings,
)
"""Whose pages there are; each module has its `blueprint`."""

for _noun in NOUNS:
    _noun.blueprint.after_request(render.secure)
    errors.watch(_noun.blueprint)


def register(app: Flask) -> None:
    """Mount the pages. Comes after the API, whose errors stay its own."""
    for part in (render, assets, wording, navigation, provisioning, require_sso, guard):
        part.init_app(app)
    app.jinja_env.globals["csrf_token"] = guard.csrf_token  # macros see only what is global
    for noun in NOUNS:
        app.register_blueprint(noun.blueprint)
    errors.install(app)
