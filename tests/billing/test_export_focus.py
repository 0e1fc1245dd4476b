"""FOCUS files by the rules of its columns; and they sum exactly to what was charged and to the statement."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from app.application import applications, keys
from app.billing import closing, credit_notes, export_jobs, export_orders, focus_columns, focus_rows, statements
from app.billing.export_what import FOCUS
from app.units import new_id, utc_now
from app.wire.usage import METERS
from tests.billing.books import NOON, Books, call
from tests.billing.exporting import Desk, what

MONTH = {"first": date(2026, 11, 1), "last": date(2026, 11, 30)}
INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
DECIMAL = re.compile(r"-?\d+(\.\d*[1-9])?")
MANDATORY = {
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingAccountType",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingCurrency",
    "ServiceCategory",
    "ServiceName",
    "ServiceProviderName",
    "ServiceSubcategory",
    "HostProviderName",
}
"""Columns that may not be null in any row."""


pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
def scene(desk: Desk) -> UUID:
    """A month of a workspace: priced by list, by contract and with a factor, free, unpriced, not billable, by request."""
    books = desk.books
    workspace_id = books.workspace("Asia/Kolkata")
    application_id = applications.create(workspace_id, "Chat, bot", cost_centre="4711", tags={"team": "a"})
    key_id = keys.create(workspace_id, application_id, "production", models=["*"]).key_id
    listed, contract, unpriced = new_id(), new_id(), new_id()
    books.price(listed, input="0.15", output="0.600001", cache_read="0.0000000001", request="0.0001")
    books.price(contract, input="3", output="15")
    price(books, contract, "input", "2.5", workspace_id)
    adjust(books, workspace_id, "1.234567", since=NOON)
    who = {"application_id": application_id, "key_id": key_id}
    used: list[dict[str, int]] = [
        {"input": 7, "output": 3},
        {"input": 10, "cache_read": 1001, "output": 7, "reasoning": 2},
        dict.fromkeys(METERS, 13),
        {"output": 3_000_000_000},
        {},
    ]
    for hours in (-30, 0, 5, 200):
        for meters in used:
            at = NOON + timedelta(hours=hours)
            books.put(
                call(workspace_id, at=at, model_id=listed, meters=meters, **who),
                call(workspace_id, at=at, model_id=contract, meters=meters, deployment_id=UUID(int=5)),
                call(workspace_id, at=at, model_id=unpriced, meters=meters, **who),
                call(
                    workspace_id, at=at, model_id=listed, meters=meters, billable=False, outcome="upstream_error", **who
                ),
            )
    books.take()
    return workspace_id


def price(books: Books, subject_id: UUID, meter: str, unit_price: str, workspace_id: UUID) -> None:
    books.owner.execute(
        "insert into price (workspace_id, price_id, subject_id, meter, unit_price, kind, valid)"
        " values (%s, %s, %s, %s, %s, 'contract', '(,)')",
        [workspace_id, new_id(), subject_id, meter, Decimal(unit_price)],
    )


def adjust(books: Books, workspace_id: UUID, factor: str, *, since: datetime) -> None:
    books.owner.execute(
        "insert into price_adjustment (workspace_id, adjustment_id, factor, valid) values (%s, %s, %s, tstzrange(%s, null))",
        [workspace_id, new_id(), Decimal(factor), since],
    )


def exported(desk: Desk, workspace_id: UUID, **more: Any) -> tuple[list[dict[str, str]], export_orders.Export]:
    export = desk.make(workspace_id, what(FOCUS, **(MONTH | more)))
    return desk.rows(export), export


def summed(rows: list[dict[str, str]], column: str) -> Decimal:
    return sum((Decimal(row[column]) for row in rows), Decimal(0))


@pytest.mark.parametrize("grain", ["hour", "day"])
def test_rows_sum_exactly_to_the_charges_day_by_day(desk: Desk, scene: UUID, grain: str) -> None:
    rows, export = exported(desk, scene, grain=grain)

    charged = desk.books.sql("select sum(list_cost) as list, sum(billed_cost) as billed from charge")[0]
    assert charged["billed"] == summed(rows, "BilledCost") == Decimal(export.manifest["sums"]["BilledCost"])  # type: ignore[index]
    assert charged["list"] == summed(rows, "ListCost")
    for start, end in {(row["ChargePeriodStart"], row["ChargePeriodEnd"]) for row in rows if grain == "day"}:
        of_day = desk.books.sql(
            "select coalesce(sum(billed_cost), 0) as billed from charge where occurred_at >= %s and occurred_at < %s",
            start,
            end,
        )
        mine = [row for row in rows if row["ChargePeriodStart"] == start]
        assert of_day[0]["billed"] == summed(mine, "BilledCost")


def test_quantity_times_unit_price_is_exactly_the_cost(desk: Desk, scene: UUID) -> None:
    rows, _ = exported(desk, scene)

    priced = [row for row in rows if row["ContractedUnitPrice"]]
    assert len(priced) > 40
    for row in priced:
        quantity = Decimal(row["PricingQuantity"])
        assert quantity * Decimal(row["ContractedUnitPrice"]) == Decimal(row["ContractedCost"])
        assert quantity * Decimal(row["ListUnitPrice"]) == Decimal(row["ListCost"])
    by_meter = [row for row in rows if row["SkuMeter"] == "All"]
    assert [] == by_meter


def test_what_single_calls_were_rounded_by_is_one_adjustment_a_day(desk: Desk, scene: UUID) -> None:
    rows, _ = exported(desk, scene)

    rounding = [row for row in rows if row["ChargeCategory"] == "Adjustment"]
    assert 0 < len(rounding) == len({row["ChargePeriodStart"] for row in rounding})
    assert all(0 < abs(Decimal(row["BilledCost"])) < Decimal("0.0000000001") for row in rounding)
    assert all(row["SkuId"] == row["ConsumedQuantity"] == row["SubAccountId"] == "" for row in rounding)


def test_quantities_are_every_token_of_the_ledger(desk: Desk, scene: UUID) -> None:
    rows, _ = exported(desk, scene)

    for meter in METERS:
        found = desk.books.sql(f"select sum({meter}) as tokens from usage_event")[0]["tokens"]
        named = " ".join(word.capitalize() for word in meter.split("_"))
        mine = [row for row in rows if row["SkuMeter"] == named]
        assert found == summed(mine, "ConsumedQuantity")
        assert {"Tokens"} == {row["ConsumedUnit"] for row in mine}
    requests = [row for row in rows if row["SkuMeter"] == "Request"]
    assert {("Requests", "Requests")} == {(row["ConsumedUnit"], row["PricingUnit"]) for row in requests}
    assert 20 == summed(requests, "ConsumedQuantity")


def test_columns_are_those_of_focus_in_order_ours_last(desk: Desk, scene: UUID) -> None:
    export = exported(desk, scene)[1]

    names = desk.bytes(export).split(b"\r\n", 1)[0].decode().split(",")
    standard = [name for name in names if not name.startswith("x_")]
    assert names == [*sorted(standard), *sorted(name for name in names if name.startswith("x_"))]
    assert set(standard) > MANDATORY
    assert all(re.fullmatch(r"(x_)?([A-Z][a-z0-9]+)+", name) for name in names)
    assert not desk.bytes(export).startswith(b"\xef\xbb\xbf")


def test_each_column_keeps_its_rules(desk: Desk, scene: UUID) -> None:
    rows, _ = exported(desk, scene)
    kinds = {one["ColumnName"]: one["DataType"] for one in focus_columns.described(what(FOCUS))}

    for row in rows:
        assert set(kinds) == set(row)
        assert [] == [name for name in MANDATORY if not row[name]]
        assert [] == [n for n, kind in kinds.items() if kind == "DateTime" and not INSTANT.fullmatch(row[n])]
        assert [] == [n for n, k in kinds.items() if k == "Decimal" and row[n] and not DECIMAL.fullmatch(row[n])]
        assert ("USD", "USD", "Workspace") == tuple(
            row[name] for name in ("BillingCurrency", "PricingCurrency", "BillingAccountType")
        )
        assert row["ChargeCategory"] in {"Usage", "Adjustment"}
        assert row["ChargeClass"] == ""
        assert row["ChargePeriodStart"] < row["ChargePeriodEnd"] <= row["BillingPeriodEnd"]
        assert row["BilledCost"] == row["EffectiveCost"] == row["ContractedCost"]
        assert bool(row["PricingQuantity"]) == bool(row["PricingUnit"]) == bool(row["SkuPriceId"])
        assert bool(row["ConsumedQuantity"]) == bool(row["ConsumedUnit"])
        assert bool(row["SubAccountId"]) == bool(row["SubAccountType"])
        assert row["InvoiceId"] == row["InvoiceDetailId"] == ""


def test_a_null_is_an_empty_field_without_quotes(desk: Desk, scene: UUID) -> None:
    export = exported(desk, scene)[1]

    assert b',""' not in desk.bytes(export)


def test_billing_periods_are_months_of_the_zone(desk: Desk, scene: UUID) -> None:
    rows, export = exported(desk, scene)

    period = {(row["BillingPeriodStart"], row["BillingPeriodEnd"]) for row in rows}
    assert {("2026-10-31T18:30:00Z", "2026-11-30T18:30:00Z")} == period
    assert all(row["ChargePeriodStart"].endswith(":30:00Z") for row in rows)
    assert export.manifest
    described = export.manifest["focus"]
    assert ("1.4", "Asia/Kolkata") == (described["Schema"]["FocusVersion"], described["TimeZone"])
    assert ["Open"] == [one["BillingPeriodStatus"] for one in described["BillingPeriods"]]
    assert list(rows[0]) == [one["ColumnName"] for one in described["Schema"]["ColumnDefinition"]]


def test_who_and_what_is_named(desk: Desk, scene: UUID) -> None:
    rows, _ = exported(desk, scene)

    mine = next(row for row in rows if row["SubAccountName"] == "Chat, bot" and row["SkuMeter"] == "Output")
    assert '{"team": "a", "llm-gateway/cost_centre": "4711"}' == mine["Tags"]
    assert ("Application", "mock", "mock") == tuple(
        mine[name] for name in ("SubAccountType", "ServiceProviderName", "HostProviderName")
    )
    assert mine["ResourceId"].startswith(f"llm-gateway/{scene}/deployments/")
    assert mine["SkuPriceDetails"].startswith('{"x_')
    assert "gateway.example.test" == mine["InvoiceIssuerName"]
    assert mine["x_CredentialId"]


def test_a_contract_is_seen_in_its_price_and_the_list_price_stays(desk: Desk, scene: UUID) -> None:
    rows, _ = exported(desk, scene)

    prices = {
        (row["ListUnitPrice"], row["ContractedUnitPrice"])
        for row in rows
        if row["ResourceId"].endswith(str(UUID(int=5))) and row["SkuMeter"] == "Input"
    }
    assert {("0.000003", "0.0000025")} == prices


def test_unpriced_calls_have_quantities_and_are_counted(desk: Desk, scene: UUID) -> None:
    rows, _ = exported(desk, scene)

    unpriced = [row for row in rows if row["x_UnpricedCount"] not in ("", "0")]
    assert {"0"} == {row["BilledCost"] for row in unpriced}
    assert {""} == {row["ContractedUnitPrice"] for row in unpriced}
    tokens = desk.books.sql(
        "select sum(output) as n from usage_event join charge using (workspace_id, occurred_at, event_id) where billed_cost is null"
    )[0]["n"]
    assert tokens == summed([row for row in unpriced if row["SkuMeter"] == "Output"], "ConsumedQuantity")


def test_charges_that_no_price_explains_are_one_row_with_their_cost(desk: Desk, scene: UUID) -> None:
    desk.books.owner.execute("update charge set billed_cost = billed_cost + 1 where billed_cost > 0")
    rows, _ = exported(desk, scene)

    whole = [row for row in rows if row["SkuMeter"] == "All"]
    assert whole
    assert {("", "")} == {(row["ContractedUnitPrice"], row["SkuPriceId"]) for row in whole}
    assert desk.books.sql("select sum(billed_cost) as n from charge")[0]["n"] == summed(rows, "BilledCost")


def test_what_the_cache_saved_is_the_difference_to_the_input_price(desk: Desk) -> None:
    workspace_id, model_id = desk.books.workspace(), new_id()
    desk.books.price(model_id, input="1.00", output="2.00", cache_read="0.10")
    desk.books.put(call(workspace_id, model_id=model_id, meters={"input": 1, "cache_read": 1_000_000}))
    desk.books.take()

    rows, _ = exported(desk, workspace_id)

    assert ["0.9"] == [row["x_CacheSavings"] for row in rows if row["SkuMeter"] == "Cache Read"]


def test_older_tools_get_the_names_of_1_2(desk: Desk, scene: UUID) -> None:
    rows, export = exported(desk, scene, spec="1.2")

    assert {"ProviderName", "PublisherName"} < set(rows[0])
    assert not {"ServiceProviderName", "HostProviderName", "InvoiceDetailId"} & set(rows[0])
    assert export.manifest
    assert "1.2" == export.manifest["focus"]["Schema"]["FocusVersion"]


def test_json_lines_and_csv_say_the_same(desk: Desk, scene: UUID) -> None:
    csv_rows, _ = exported(desk, scene)
    json_rows, _ = exported(desk, scene, format="jsonl")

    assert [row["BilledCost"] for row in csv_rows] == [str(row["BilledCost"]) for row in json_rows]
    assert list(csv_rows[0]) == list(json_rows[0])


@pytest.mark.parametrize(
    ("timezone", "at"),
    [
        ("Europe/Berlin", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 20, tzinfo=UTC)),
        ("Pacific/Kiritimati", datetime(2026, 10, 31, 9, 59, 59, tzinfo=UTC)),
        ("Etc/GMT+12", datetime(2026, 11, 1, 11, 59, 59, tzinfo=UTC)),
    ],
)
def test_hours_of_a_change_of_the_clock_lose_nothing(desk: Desk, timezone: str, at: datetime) -> None:
    workspace_id, model_id = desk.books.workspace(timezone), new_id()
    desk.books.price(model_id, input="1.00", output="2.00")
    desk.books.put(*(call(workspace_id, model_id=model_id, at=at + timedelta(minutes=30 * n)) for n in range(6)))
    desk.books.take()
    october = {"first": date(2026, 10, 1), "last": date(2026, 10, 31)}

    rows = [row for span in (october, MONTH) for row in exported(desk, workspace_id, **span)[0]]

    assert desk.books.sql("select sum(billed_cost) as n from charge")[0]["n"] == summed(rows, "BilledCost")
    assert 6 == summed([row for row in rows if row["SkuMeter"] == "Input"], "x_RequestCount")


OCTOBER = {"first": date(2026, 10, 1), "last": date(2026, 10, 31)}
SINCE = {"first": MONTH["first"], "last": max(MONTH["last"], utc_now().date())}
"""The months that may be the running one, which corrections go into."""


@pytest.fixture
def closed(desk: Desk) -> UUID:
    """A workspace whose October is closed, with a credit; a late call and one of November came after."""
    workspace_id, model_id = desk.books.workspace("Europe/Berlin"), new_id()
    desk.books.price(model_id, input="1.234567", output="2.00")
    october = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    desk.books.put(*(call(workspace_id, model_id=model_id, at=october + timedelta(hours=n)) for n in range(30)))
    desk.books.take()
    credit_notes.grant(workspace_id, OCTOBER["first"], Decimal("0.0000000001"), "kindness", now=utc_now())
    closing.draft(workspace_id, OCTOBER["first"], now=utc_now())
    closing.close(workspace_id, OCTOBER["first"], now=utc_now())
    desk.books.put(call(workspace_id, model_id=model_id, at=october), call(workspace_id, model_id=model_id))
    desk.books.take()
    return workspace_id


def test_rows_of_a_closed_month_sum_to_its_statement_to_the_cent(desk: Desk, closed: UUID) -> None:
    rows, export = exported(desk, closed, **OCTOBER)

    (statement,) = statements.of_months(closed, [OCTOBER["first"]])[OCTOBER["first"]]
    assert statement.total == summed(rows, "BilledCost")
    assert {statement.number} == {row["InvoiceId"] for row in rows}
    assert {"Usage", "Credit", "Adjustment"} == {row["ChargeCategory"] for row in rows}
    assert ["-0.0000000001"] == [row["BilledCost"] for row in rows if row["ChargeCategory"] == "Credit"]
    assert all(row["InvoiceDetailId"] for row in rows if row["ChargeCategory"] == "Usage")
    assert export.manifest
    assert ["Closed"] == [one["BillingPeriodStatus"] for one in export.manifest["focus"]["BillingPeriods"]]


def test_what_came_late_is_a_correction_of_the_open_month(desk: Desk, closed: UUID) -> None:
    rows, _ = exported(desk, closed, **SINCE)

    (correction,) = [row for row in rows if row["ChargeClass"] == "Correction"]
    (late,) = desk.books.sql(
        "select billed_cost from charge join usage_event using (workspace_id, occurred_at, event_id)"
        " where occurred_at < '2026-11-01' and ingested_at > (select closed_at from billing_period)"
    )
    assert late["billed_cost"] == Decimal(correction["BilledCost"]) > 0
    assert ("2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z") == (
        correction["ChargePeriodStart"],
        correction["ChargePeriodEnd"],
    )
    assert ("", True) == (correction["InvoiceId"], correction["BillingPeriodStart"] >= "2026-10-31T23:00:00Z")


def test_a_file_that_is_not_what_was_invoiced_is_not_given_to_anybody(desk: Desk, closed: UUID) -> None:
    desk.books.owner.execute("update charge set billed_cost = billed_cost + 1 where occurred_at < '2026-11-01'")
    export_id = desk.order(closed, what(FOCUS, **OCTOBER))

    with pytest.raises(export_jobs.Wrong):
        export_jobs.run(str(export_id))

    export = export_orders.get(closed, export_id)
    assert ("failed", export_jobs.NOT_RIGHT) == (export.state, export.problem)
    assert [] == [one for one in desk.home.rglob("*") if one.is_file()]


def test_an_export_of_before_the_closing_shows_the_month_open(desk: Desk, closed: UUID) -> None:
    before = desk.books.sql("select closed_at - interval '1 microsecond' as at from billing_period")[0]["at"]

    export = desk.make(closed, what(FOCUS, **OCTOBER), as_of=before)

    assert {""} == {row["InvoiceId"] for row in desk.rows(export)}


def test_a_call_that_was_settled_after_the_closing_is_still_on_the_closed_months_file(desk: Desk) -> None:
    workspace_id, model_id = desk.books.workspace("Europe/Berlin"), new_id()
    desk.books.price(model_id, input="1.00", output="2.00")
    at = datetime(2026, 10, 20, 12, tzinfo=UTC)
    guess = call(workspace_id, at=at, model_id=model_id, meters={"input": 900_000}, state="provisional")
    known = {name: getattr(guess, name) for name in guess.__struct_fields__}
    desk.books.put(guess, call(workspace_id, at=at, model_id=model_id, meters={"input": 100_000}))
    desk.books.take()
    closing.draft(workspace_id, OCTOBER["first"], now=utc_now())
    total = closing.close(workspace_id, OCTOBER["first"], now=utc_now()).total
    desk.books.put(type(guess)(**known | {"state": "settled", "meters": {"input": 500_000}}))
    desk.books.take()

    rows, _ = exported(desk, workspace_id, **OCTOBER)
    november, _ = exported(desk, workspace_id, **SINCE)

    assert Decimal("1.00") == total == summed(rows, "BilledCost")
    (missing,) = [row for row in rows if row["ChargeDescription"] == focus_rows.SETTLED]
    assert ("Adjustment", "0.9", "1") == tuple(
        missing[name] for name in ("ChargeCategory", "BilledCost", "x_RequestCount")
    )
    assert missing["InvoiceDetailId"]
    assert Decimal("-0.4") == summed([row for row in november if row["ChargeClass"] == "Correction"], "BilledCost")


def test_no_call_is_in_two_months_or_none_where_the_zone_has_changed_between_them(desk: Desk) -> None:
    workspace_id, model_id = desk.books.workspace("Pacific/Kiritimati"), new_id()
    desk.books.price(model_id, input="1.00", output="2.00")
    end = datetime(2026, 10, 31, 10, tzinfo=UTC)
    desk.books.put(*(call(workspace_id, model_id=model_id, at=end + timedelta(hours=n)) for n in range(-30, 60)))
    desk.books.take()
    closing.draft(workspace_id, OCTOBER["first"], now=utc_now())
    desk.books.move(workspace_id, "Etc/GMT+12")

    rows, _ = exported(desk, workspace_id, first=OCTOBER["first"], last=MONTH["last"])
    november, _ = exported(desk, workspace_id)

    assert 90 == summed([row for row in rows if row["SkuMeter"] == "Input"], "x_RequestCount")
    assert 60 == summed([row for row in november if row["SkuMeter"] == "Input"], "x_RequestCount")
    assert desk.books.sql("select sum(billed_cost) as n from charge")[0]["n"] == summed(rows, "BilledCost")
    assert {"2026-10-31T10:00:00Z"} == {row["BillingPeriodStart"] for row in november}


def test_a_contract_without_a_list_price_has_its_quantities_and_prices(desk: Desk) -> None:
    workspace_id, model_id = desk.books.workspace(), new_id()
    for meter, unit_price in (("input", "2.5"), ("output", "10")):
        price(desk.books, model_id, meter, unit_price, workspace_id)
    desk.books.put(call(workspace_id, model_id=model_id))
    desk.books.take()

    rows, _ = exported(desk, workspace_id)

    prices = {row["SkuMeter"]: (row["ContractedUnitPrice"], row["ListUnitPrice"], row["ListCost"]) for row in rows}
    assert {"Input": ("0.0000025", "", "0"), "Output": ("0.00001", "", "0")} == prices


def test_what_providers_take_is_in_the_platforms_files_alone_and_sums_to_the_ledger(desk: Desk, scene: UUID) -> None:
    desk.books.owner.execute("update charge set provider_cost = 0.123456789012 where billed_cost > 0")
    rows, _ = exported(desk, scene)
    theirs, export = exported(desk, scene, provider_cost=True)

    taken = desk.books.sql("select sum(provider_cost) as n from charge")[0]["n"]
    found = sum((Decimal(row["x_ProviderCost"]) for row in theirs if row["x_ProviderCost"]), Decimal(0))
    assert "x_ProviderCost" not in rows[0]
    assert taken == found > 0
    assert export.manifest
    assert taken == Decimal(export.manifest["sums"]["x_ProviderCost"])
    assert [row["BilledCost"] for row in rows] == [row["BilledCost"] for row in theirs]
