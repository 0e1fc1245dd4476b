"""Rules on imports that import-linter has no words for; the layers themselves are in pyproject.toml."""

from tests.house.source import imports, inside, modules, name_of

FACES = ("app.gateway.api", "app.console", "app.api", "app.cli", "app.extensions", "app.hosts")
PURE_PLACES = ("app.wire", "app.provider.adapters", "app.provider.families")
IMPURE = {"flask", "flask_sqlalchemy", "sqlalchemy", "psycopg", "redis", "rq", "httpx", "gevent", "socket", "ssl"}


def test_only_faces_import_flask() -> None:
    found = [
        one
        for path in modules()
        if name_of(path) != "app" and not inside(name_of(path), *FACES)
        for one in imports(path)
        if one.package == "flask"
    ]

    assert [str(one) for one in found] == []


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

    assert sorted(set(found)) == []
