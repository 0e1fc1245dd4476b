"""A column of an export: how PostgreSQL is asked for it, and what keeps a spreadsheet from running its text."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")
"""What a text begins with that a spreadsheet takes for a formula. PostgreSQL keeps no NUL, other texts may have one."""

_STARTS = sql.SQL(", ").join(sql.Literal(ord(start)) for start in FORMULA_STARTS if start != "\0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: its name, its SQL, whether it is a text that somebody else has chosen, and whether it is summed up."""

    name: str
    value: str
    text: bool = False
    sum: bool = False


def selected(columns: Sequence[Column], **values: sql.Composable) -> sql.Composed:
    """List columns by their names; `{name}` in one stands for a value."""
    cells = [
        sql.SQL("{} as {}").format(sql.SQL(one.value).format(**values), sql.Identifier(one.name)) for one in columns
    ]
    return sql.SQL(", ").join(cells)


def neutral(column: Column) -> sql.Composed:
    """Take a column of the rows `t`, with a quote before each text that a spreadsheet would run."""
    name = sql.Identifier(column.name)
    if not column.text:
        return sql.SQL("t.{}").format(name)
    return sql.SQL("case when ascii(t.{0}) in ({1}) then '''' || t.{0} else t.{0} end").format(name, _STARTS)
