"""Rules on imports that import-linter has no words for; the layers themselves are in pyproject.toml."""

from tests.house.source import imports, inside, modules, name_of

FACES = ("app.gateway.api", "app.console", "app.api", "app.cli", "app.extensions")
FLASK_TYPE_ONLY = {
    "app.gateway": "start() is handed the app by gunicorn",
    "app.gateway.process": "keeps the parts of a worker in the app's extensions",
    "app.gateway.snapshot": "the refresher's SQL needs an app context of its own",
    "app": "makes the app",
}
"""Modules that are no face and take the app itself, never a request."""
BORROWED_TABLES = {
    ("app.auth.users", "app.workspace.tables"): "people sign in by auth and belong to workspaces",
}
PURE_PLACES = ("app.wire", "app.provider.adapters", "app.provider.families")
IMPURE = {"flask", "flask_sqlalchemy", "sqlalchemy", "psycopg", "redis", "rq", "httpx", "gevent", "socket", "ssl"}


def test_only_faces_import_flask() -> None:
    found = [
        one
        for path in modules()
        if not inside(name_of(path), *FACES)
        for one in imports(path)
        if one.package == "flask" and not (one.importer in FLASK_TYPE_ONLY and one.module == "flask.Flask")
    ]

    assert [str(one) for one in found] == []


def test_no_exception_is_out_of_date() -> None:
    flask_users = {one.importer for path in modules() for one in imports(path) if one.module == "flask.Flask"}
    table_users = {(one.importer, one.module) for path in modules() for one in imports(path)}

    assert set(FLASK_TYPE_ONLY) <= flask_users
    assert all(any(user == i and inside(m, table) for i, m in table_users) for user, table in BORROWED_TABLES)


def test_wire_and_adapters_import_nothing_that_talks() -> None:
    found = [
        one
        for path in modules()
        if inside(name_of(path), *PURE_PLACES)
        for one in imports(path)
        if one.package in IMPURE or inside(one.module, "app.extensions")
    ]

    assert [str(one) for one in found] == []


def test_adapters_do_not_import_each_other() -> None:
    found = [
        one
        for path in modules()
        if inside(name_of(path), "app.provider.adapters") and path.name != "__init__.py"
        for one in imports(path)
        if inside(one.module, "app.provider.adapters")
    ]

    assert [str(one) for one in found] == []


def test_only_the_owner_of_a_table_imports_it() -> None:
    found = []
    for path in modules():
        for one in imports(path):
            owner, dot, _ = one.module.partition(".tables")
            owned = dot and inside(one.module, "app") and inside(one.importer, owner)
            if dot and inside(one.module, "app") and not owned:
                found.append((one.importer, f"{owner}.tables"))

    assert sorted({one for one in found if one not in BORROWED_TABLES}) == []
