"""Lines of an answer about usage: of a thing or of two, or of an hour, a day or a month; each with its name and figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.billing import labels
from app.billing.figures import Figures, Value
from app.billing.labels import Label, Labels
from app.billing.ranking import Group


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: of a thing or of two, by their values; or of an hour, day or month, by its start.

    `before` is what it came to in the days before; None where nobody asked. `parts` are its figures in
    each bucket of the answer; empty unless they were asked for.
    """

    values: Group = ()
    start: datetime | None = None
    labels: tuple[Label, ...]
    figures: Figures
    before: Figures | None = None
    parts: Sequence[Figures] = ()

    @property
    def id(self) -> Value | None:
        """The value of the first dimension."""
        return self.values[0] if self.values else None

    @property
    def label(self) -> Label:
        """The names of all that it is about."""
        return self.labels[0] if len(self.labels) == 1 else Label(name=" · ".join(one.name for one in self.labels))

    @property
    def full_name(self) -> str:
        """All names with what tells each from others of the same name."""
        return " · ".join(f"{one.name} ({one.detail})" if one.detail else one.name for one in self.labels)


def of_things(
    groups: Sequence[str],
    found: tuple[Group, Figures],
    named: Labels,
    *,
    before: Figures | None = None,
    parts: Sequence[Figures] = (),
) -> Line:
    """Make the line of a thing, or of two, with their names."""
    values, sums = found
    names = tuple(labels.label(named, group, value) for group, value in zip(groups, values, strict=True))
    return Line(values=values, labels=names, figures=sums, before=before, parts=parts)
