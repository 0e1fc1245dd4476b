"""FOCUS: the bill as FinOps tools read it, https://focus.finops.org/focus-specification/ (version 1.4; 1.2 on demand).

One row for each hour or day, application, key, deployment and meter, with quantity times unit price exactly its
cost. What single calls were rounded by is one Adjustment row for each day, so the rows of a day sum exactly to its
charges. A closed month holds what its statement does: later events are corrections of a later month.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from app.billing import focus_columns, focus_months, focus_rows
from app.billing.export_rows import Asked, Part
from app.billing.focus_months import Month


def parts(asked: Asked, months: Sequence[Month], issuer: str) -> Iterator[Part]:
    """Give the days of each month, and what the month adds to them."""
    for month in months:
        for start, end in focus_months.days_of(month, asked.as_of):
            yield focus_rows.of_day(asked, month, issuer, start, end)
        yield focus_rows.of_month(asked, month, issuer)


def metadata(asked: Asked, months: Sequence[Month], generator: str) -> dict[str, object]:
    """Describe the file as FOCUS wants its files described."""
    return {
        "DataGenerator": generator,
        "Schema": {
            "SchemaId": f"llm-gateway-focus-{asked.what.spec}-2",
            "FocusVersion": asked.what.spec,
            "CreationDate": _utc(asked.as_of),
            "ColumnDefinition": focus_columns.described(asked.what),
        },
        "TimeZone": asked.zone.key,
        "BillingPeriods": [_period(month) for month in months],
        "Tags": {"ProviderTagPrefixes": ["llm-gateway/"]},
        "Notes": [
            "Billing periods are calendar months of the time zone above.",
            "A call without a price has quantities and a cost of 0; x_UnpricedCount says how many there are.",
            "x_RequestCount counts the calls that used the meter of the row: a call is in the row of each of its meters.",
        ],
    }


def _period(month: Month) -> dict[str, object]:
    return {
        "BillingPeriodStart": _utc(month.start),
        "BillingPeriodEnd": _utc(month.end),
        "BillingPeriodStatus": "Closed" if month.closed_at else "Open",
        "InvoiceId": month.number,
    }


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
