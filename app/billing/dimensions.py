"""Dimensions: what calls can be told apart by and narrowed down to. Pure, but for the columns' types.

Some stand in each call. Others belong to its key or its application as these are now: who owns the
key, the cost centre and the tags. A tag is a dimension of its own, named `tag:` and the tag's name.
"""

from dataclasses import dataclass
from uuid import UUID

Value = UUID | str
"""What a dimension tells apart: an id, or a text."""

NOBODY = UUID(int=0)
"""Stands for a missing id: no application, no owner. A missing text is ""."""

THINGS = ("application", "model", "key")
"""The dimensions with pages of their own."""
DIMENSIONS = ("application", "model", "key", "member", "alias", "provider", "status", "cost_centre")
IDS = frozenset({*THINGS, "member"})
TAG = "tag:"
LONGEST = 200
ABSENT = "-"
"""How an address says that a text is missing; no name begins so."""

BELONGS = {"member": "key", "cost_centre": "application"}
"""Dimension → the one of the call that it follows from."""


def is_known(dimension: str) -> bool:
    """Tell whether there is such a dimension; of tags, any name will do."""
    return dimension in DIMENSIONS or (dimension.startswith(TAG) and len(TAG) < len(dimension) <= LONGEST)


def base_of(dimension: str) -> str:
    """Find the dimension of the call itself that one follows from."""
    return "application" if dimension.startswith(TAG) else BELONGS.get(dimension, dimension)


def is_derived(dimension: str) -> bool:
    """Tell whether a dimension does not stand in the call itself."""
    return base_of(dimension) != dimension


def read(dimension: str, text: str) -> Value | None:
    """Read a value from an address; None for what is none."""
    if dimension not in IDS:
        found = "" if text == ABSENT else text
        return found if len(found) <= LONGEST and "\0" not in found else None
    try:
        return UUID(text)
    except ValueError:
        return None


def written(value: Value) -> str:
    """Write a value as an address has it."""
    return str(value) or ABSENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Only:
    """Which calls count: those of one value in each dimension that is given. None: of all. `tag` is name and value."""

    application: UUID | None = None
    model: UUID | None = None
    key: UUID | None = None
    member: UUID | None = None
    alias: str | None = None
    provider: str | None = None
    status: str | None = None
    cost_centre: str | None = None
    tag: tuple[str, str] | None = None

    @property
    def given(self) -> dict[str, Value]:
        """The dimensions that are narrowed down."""
        values = {name: getattr(self, name) for name in DIMENSIONS}
        tags = {f"{TAG}{self.tag[0]}": self.tag[1]} if self.tag else {}
        return {name: one for name, one in (values | tags).items() if one is not None}


EVERYTHING = Only()
