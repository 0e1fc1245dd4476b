"""Reads YAML field by field and collects what is wrong, each with its line.

Works on YAML's nodes rather than on finished values: only nodes know their lines, duplicate
keys, and whether `0.10` was written with quotes.
"""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

import yaml

from app.workspace.names import Invalid

VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{[^}]*\}?")
WHOLE = re.compile(r"-?(0|[1-9][0-9]*)")
AMOUNT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong, and the line it stands on, counted from 1."""

    line: int
    text: str


class InvalidFile(Exception):
    """The file cannot be applied; `problems` has everything that is wrong with it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(f"line {problem.line}: {problem.text}" for problem in problems))
        self.problems = problems


class Report:
    """Where problems are collected while the rest is read on."""

    def __init__(self, variable: Callable[[str], str | None]) -> None:
        self.problems: list[Problem] = []
        self.variable = variable

    def add(self, line: int, text: str) -> None:
        """Note a problem; the same one is noted once."""
        problem = Problem(line, text)
        if problem not in self.problems:
            self.problems.append(problem)


def compose(text: str) -> yaml.Node:
    """Parse one YAML document; raise `InvalidFile` where the text is no YAML."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        number = mark.line if mark else 0
        hint = '; put "${NAME}" in quotes' if "${" in "".join(text.splitlines()[number : number + 1]) else ""
        raise InvalidFile([Problem(number + 1, f"this is no YAML: {error.problem}{hint}")]) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InvalidFile([Problem(line, "holds a character that YAML does not allow")]) from error
    if node is None:
        raise InvalidFile([Problem(1, "the file is empty; to remove everything, write `workspaces: []`")])
    return node


class Fields:
    """The fields of one mapping. Reading a wrong one notes a problem and gives a harmless value."""

    def __init__(self, node: yaml.Node, path: str, report: Report, known: tuple[str, ...]) -> None:
        self.path = path
        self.report = report
        self.line = _line(node)
        self._nodes: dict[str, yaml.Node] = {}
        self._readable = isinstance(node, yaml.MappingNode)
        if isinstance(node, yaml.MappingNode):
            self._take(node, known)
        else:
            report.add(self.line, f"{path or 'the file'}: must be fields with values")

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    def line_of(self, name: str) -> int:
        """The line of a field, or of the mapping when the field is missing."""
        return _line(self._nodes[name]) if name in self._nodes else self.line

    def wrong(self, name: str, problem: str) -> None:
        """Note what is wrong with a field; nothing more about a mapping that is none."""
        if self._readable:
            self.report.add(self.line_of(name), f"{self._place(name)}: {problem}")

    def checked(self, name: str, check: Callable[[T], object], value: T) -> T:
        """Have a service check a value; note what it says."""
        try:
            check(value)
        except Invalid as error:
            said = error.problem if error.field == name else f"{error.field} {error.problem}"
            self.wrong(name, said)
        return value

    def text(self, name: str, default: str | None = None) -> str:
        """Read text with `${NAME}` filled in; without a default the field is required."""
        node = self._scalar(name, required=default is None)
        if node is None:
            return default or ""
        if _kind(node) != "str":
            self.wrong(name, f'must be text; quote it: "{node.value}"' if node.value else "must not be empty")
            return default or ""
        return self._filled(name, node)

    def whole(self, name: str, default: int | None = None) -> int | None:
        """Read a whole number; a text is one when it comes from `${NAME}`."""
        node = self._scalar(name)
        if node is None:
            return default
        text = self._filled(name, node)
        if not text and node.value:
            return default
        if (
            _kind(node) not in {"int", "str"}
            or not WHOLE.fullmatch(text)
            or (_kind(node) == "str" and text == node.value)
        ):
            self.wrong(name, f"must be a whole number, not {text!r}")
            return default
        return int(text)

    def number(self, name: str) -> float | None:
        """Read a number of seconds."""
        node = self._scalar(name)
        if node is None:
            return None
        if _kind(node) not in {"int", "float"} or not AMOUNT.fullmatch(node.value):
            self.wrong(name, f"must be a number, not {node.value!r}")
            return None
        return float(node.value) if "." in node.value else int(node.value)

    def money(self, name: str) -> Decimal | None:
        """Read an exact amount. A number with a point must be quoted: YAML would make it a float."""
        node = self._scalar(name)
        if node is None:
            return None
        if _kind(node) == "float":
            self.wrong(name, f'money is exact; quote it: "{node.value}"')
            return None
        text = self._filled(name, node)
        if not text and node.value:
            return None
        if _kind(node) not in {"int", "str"} or not AMOUNT.fullmatch(text):
            self.wrong(name, f'must be an amount such as "0.15", not {text!r}')
            return None
        return Decimal(text)

    def stamp(self, name: str) -> str | None:
        """Read the text of a date or time."""
        node = self._scalar(name)
        return None if node is None else self._filled(name, node) or None

    def names(self) -> list[str]:
        """The fields that are there."""
        return list(self._nodes)

    def mapping(self, name: str, known: tuple[str, ...]) -> "Fields | None":
        """Read a mapping inside."""
        return Fields(self._nodes[name], self._place(name), self.report, known) if name in self._nodes else None

    def each(self, name: str, known: tuple[str, ...]) -> list["Fields"]:
        """Read a list of mappings."""
        items = self._items(name)
        return [Fields(node, f"{self._place(name)}[{n}]", self.report, known) for n, node in enumerate(items)]

    def texts(self, name: str) -> list[str]:
        """Read a list of texts; it is required."""
        if name not in self._nodes:
            self.wrong(name, "is missing")
        found = []
        for node in self._items(name):
            if isinstance(node, yaml.ScalarNode) and _kind(node) == "str":
                found.append(self._filled(name, node))
            else:
                self.report.add(_line(node), f"{self._place(name)}: must be a list of texts")
        return found

    def _take(self, node: yaml.MappingNode, known: tuple[str, ...]) -> None:
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            if name in self._nodes:
                self.report.add(_line(key), f"{self._place(name)}: stands here twice")
            elif name in known:
                self._nodes[name] = value
            else:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
                self.report.add(_line(key), f"{self._place(name)}: is no field here; {hint}")

    def _place(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def _scalar(self, name: str, *, required: bool = False) -> yaml.ScalarNode | None:
        node = self._nodes.get(name)
        if node is None:
            if required:
                self.wrong(name, "is missing")
            return None
        if not isinstance(node, yaml.ScalarNode):
            self.wrong(name, "must be one value, not a list or fields")
            return None
        return node

    def _items(self, name: str) -> list[yaml.Node]:
        node = self._nodes.get(name)
        if node is not None and not isinstance(node, yaml.SequenceNode):
            self.wrong(name, "must be a list")
            return []
        return list(node.value) if node is not None else []

    def _filled(self, name: str, node: yaml.ScalarNode) -> str:
        """Fill in the environment's variables; what they hold is not looked at again."""

        def value(match: re.Match[str]) -> str:
            if match.group() == "$${":
                return "${"
            if match.group(1) is None:
                self.report.add(
                    _line(node),
                    f"{self._place(name)}: write ${{NAME}} for a variable, or $${{ for the signs themselves",
                )
                return ""
            found = self.report.variable(match.group(1))
            if not found:
                self.report.add(_line(node), f"{self._place(name)}: the variable {match.group(1)} is not set")
            return found or ""

        return VARIABLE.sub(value, node.value)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _kind(node: yaml.Node) -> str:
    """Name what YAML takes a value for: str, int, float, bool, null, timestamp."""
    return str(node.tag).rpartition(":")[2]
