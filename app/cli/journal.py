"""What applying a file did, one line for each change."""

from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(slots=True)
class Journal:
    """Changes, notes on what was left alone, and secrets that are shown once."""

    changes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    secrets: list[tuple[str, str]] = field(default_factory=list, repr=False)

    def did(self, what: str, differences: list[str] | None = None) -> None:
        """Note a change; with a list of differences, only when there is one."""
        if differences is None:
            self.changes.append(what)
        elif differences:
            self.changes.append(f"{what}: {', '.join(differences)}")


def difference(name: str, before: object, after: object) -> list[str]:
    """Describe one changed value; nothing when it is the same."""
    return [] if before == after else [f"{name} {shown(before)} → {shown(after)}"]


def shown(value: object) -> str:
    """Write a value as people read it; money with at least two decimals."""
    if value is None or value == "":
        return "none"
    if isinstance(value, Decimal):
        whole, _, decimals = f"{value:f}".partition(".")
        return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(str(item) for item in value) + "]"
    return str(value)
