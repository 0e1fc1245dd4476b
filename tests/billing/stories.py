"""Stories of a ledger: what befalls a workspace's events and its month, and what the ledger says afterwards."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from hypothesis import strategies as st

from app.billing import closing, periods, rating_jobs, rating_runs, rebuild, statements
from app.billing.events import PROVISIONAL, SETTLED, UsageEvent
from app.billing.periods import Period
from app.units import new_id
from tests.billing.books import Books, call, event_id
from tests.billing.rerating import END, START, dry_run, recompute, reprice

MONTH, LATER = date(2026, 11, 1), datetime(2026, 12, 20, tzinfo=UTC)
ZONES = ("UTC", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Kiritimati", "Etc/GMT+12")
PRICES: tuple[dict[str, Any], ...] = (
    {},
    {"input": "0.000001", "output": "2.5"},
    {"input": "3", "output": "0.333333", "cache_read": "0"},
)
"""No price is one of the things that prices change to."""
APPLICATIONS, MODELS, KEYS = (None, new_id(), new_id()), (new_id(), new_id()), (new_id(), new_id())
NEXT = "next"
ACTS = ("take", "crash", "crash late", "replay", "rebuild", "recompute", "stop", "reprice", "close", "reopen")
COURSES = (
    (),
    ("close", "recompute"),
    ("close", "recompute", "reopen", "close"),
    ("close", "stop", "reopen", "recompute"),
)
Item = tuple[int, str] | str
"""A call's number and state; or what is done between two events."""


@st.composite
def stories(draw: st.DrawFn) -> list[Item]:
    """Events, each at least once, with doubles; what is done to the month, in its order; and other acts anywhere."""
    states = st.sampled_from([(PROVISIONAL,), (SETTLED,), (PROVISIONAL, SETTLED)])
    calls = draw(st.lists(states, min_size=1, max_size=6))
    events: list[Item] = [(number, state) for number, of_call in enumerate(calls) for state in of_call]
    doubles = draw(st.lists(st.sampled_from(events), max_size=3))
    acts = draw(st.lists(st.sampled_from(ACTS), max_size=4))
    course = draw(st.sampled_from(COURSES))
    story = draw(st.permutations([*events, *doubles, *acts, *[NEXT] * len(course)]))
    next_act = iter(course)
    return [next(next_act) if item == NEXT else item for item in story]


@dataclass
class Story:
    """The workspace to which things happen."""

    books: Books
    workspace_id: UUID
    models: tuple[UUID, ...]
    delivered: dict[tuple[int, str], UsageEvent] = field(default_factory=dict)
    prices: int = 1

    def do(self, item: Item) -> None:
        """Go through one item."""
        if isinstance(item, tuple):
            self.delivered.setdefault(item, self.event(*item, self.workspace_id))
            self.books.put(self.delivered[item])
            return
        acts: dict[str, Callable[[], object]] = {
            "take": self.books.take,
            "crash": lambda: self.crash("charge"),
            "crash late": lambda: self.crash("correction"),
            "replay": lambda: self.books.put(*self.delivered.values()),
            "rebuild": lambda: rebuild.rebuild(self.workspace_id, database=self.books.ingest),
            "recompute": lambda: self.by_other_prices(self.recompute),
            "stop": lambda: self.by_other_prices(self.stop),
            "reprice": self.reprice,
            "close": self.close,
            "reopen": self.reopen,
        }
        acts[item]()

    def event(self, number: int, state: str, workspace_id: UUID) -> UsageEvent:
        """One of a call's events, alike in every workspace but for its id."""
        at = START + timedelta(hours=14 + 9 * number, minutes=7 * number)
        shared: dict[str, Any] = {
            "at": at,
            "event_id": UUID(int=event_id(at).int >> 80 << 80 | 7 << 76 | 2 << 62 | number),
            "application_id": APPLICATIONS[number % 3],
            "key_id": KEYS[number % 2],
            "model_id": self.models[number % 2],
            "deployment_id": MODELS[number % 2],
            "alias": f"m{number % 2}",
        }
        if state == PROVISIONAL:
            guess: dict[str, Any] = {"state": PROVISIONAL, "outcome": "unsettled", "usage_source": "estimated"}
            if number % 2:
                guess |= {"application_id": None, "deployment_id": KEYS[0]}
            return call(workspace_id, meters={"input": 5000 + number, "output": 1}, **shared | guess)
        meters = {"input": number, "output": 3 * 10**9 if number == 4 else 7, "cache_read": number % 2}
        outcome = "upstream_error" if number % 4 == 3 else "done"
        return call(workspace_id, meters={name: n for name, n in meters.items() if n}, outcome=outcome, **shared)

    def crash(self, table: str) -> None:
        """A batch is refused in the middle: its calls are written, and something that belongs to them cannot be."""
        self.books.owner.execute(f"revoke insert on {table} from gateway_ingest".encode())
        try:
            self.books.take()
        except psycopg.errors.InsufficientPrivilege:
            pass
        finally:
            self.books.owner.execute(f"grant insert on {table} to gateway_ingest".encode())

    def reprice(self) -> None:
        """Have other prices, which have counted all the time."""
        self.prices = (self.prices + 1) % len(PRICES)
        for subject in self.models:
            reprice(self.books, subject, **PRICES[self.prices])

    def by_other_prices(self, act: Callable[[], None]) -> None:
        self.reprice()
        self.books.take()
        act()

    @property
    def period(self) -> Period:
        return periods.get(self.workspace_id, MONTH)

    @property
    def span(self) -> tuple[datetime, datetime]:
        return min(START, self.period.start), max(END, self.period.end)

    def recompute(self) -> None:
        """Rate again all that there is."""
        if self.books.sql("select 1 from usage_event where workspace_id = %s limit 1", self.workspace_id):
            recompute(self.books, self.workspace_id, *self.span)

    def stop(self) -> None:
        """Begin to rate again, and stop after the first day."""
        shown = dry_run(self.books, self.workspace_id, *self.span)
        if not shown.may_be_applied:
            return
        run_id = rating_runs.apply(self.workspace_id, shown.run_id, run_id=new_id())
        for _ in range(2):
            rating_jobs.work(self.books.ingest, self.books.redis, run_id)
        rating_runs.cancel(self.workspace_id, run_id, now=LATER)

    def close(self) -> None:
        self.books.take()
        if self.period.state == "open":
            closing.draft(self.workspace_id, MONTH, now=LATER)
            closing.close(self.workspace_id, MONTH, now=LATER, unpriced_confirmed=True)

    def reopen(self) -> None:
        if self.period.state == "closed":
            closing.reopen(self.workspace_id, MONTH, "a mistake", now=LATER)


def statement(story: Story) -> list[tuple[Any, ...]]:
    """The lines of the month's statement that stands."""
    (valid,) = [one for one in statements.of_months(story.workspace_id, [MONTH])[MONTH] if not one.voided_at]
    lines = statements.get(story.workspace_id, valid.statement_id).lines
    assert valid.total == sum(line.amount for line in lines)
    return [(one.kind, one.application_id, one.model_id, one.calls, one.tokens, one.amount) for one in lines]


def corrected(story: Story) -> dict[tuple[Any, Any], tuple[Any, Any]]:
    """Calls and money by which the month is corrected, by application and model; nothing where it comes to nothing."""
    rows = story.books.sql(
        "select application_id, model_id, sum(calls) as calls, sum(amount) as usd from correction"
        " where workspace_id = %s group by 1, 2 having sum(calls) <> 0 or sum(amount) <> 0",
        story.workspace_id,
    )
    return {(row["application_id"], row["model_id"]): (row["calls"], row["usd"]) for row in rows}


def billed(story: Story) -> Decimal:
    """What the month costs: by its statement, or by its charges while it is open, and by what corrects it."""
    if story.period.state == "closed":
        bill = sum((line[-1] for line in statement(story) if line[0] == "usage"), Decimal(0))
    else:
        bill = charged(story, "c.billed_cost")
    return bill + sum((usd for _, usd in corrected(story).values()), Decimal(0))


def charged(story: Story, what: str) -> Decimal:
    query = f"select coalesce(sum({what}), 0) as usd from charge c where workspace_id = %s"
    return Decimal(story.books.sql(query, story.workspace_id)[0]["usd"])
