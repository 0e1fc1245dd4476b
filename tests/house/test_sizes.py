import ast

from tests.house.source import modules, name_of, tree

FUNCTION_LIMIT = 50
FILE_LIMIT = 400


def test_no_file_is_long() -> None:
    long = {name_of(path): lines for path in modules() if (lines := path.read_text().count("\n")) > FILE_LIMIT}

    assert long == {}


def test_no_function_is_long() -> None:
    functions = [
        (name_of(path), node)
        for path in modules()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    assert functions
    assert [f"{module}.{f.name}" for module, f in functions if (f.end_lineno or 0) - f.lineno >= FUNCTION_LIMIT] == []


def test_names_that_say_nothing_are_not_used() -> None:
    vague = {"utils", "helpers", "common", "base", "constants", "schemas", "interfaces"}

    assert [name_of(path) for path in modules() if vague & set(name_of(path).split("."))] == []
