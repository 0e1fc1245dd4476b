"""What calls cost, to the last digit."""

from datetime import timedelta
from decimal import Decimal

from app.units import PLATFORM_ID, new_id
from tests.billing.books import NOON, Books, call


def test_bc_026_a_thousand_tiny_calls_add_up_exactly(books: Books) -> None:
    workspace_id, model_id = books.workspace(), new_id()
    books.price(model_id, input="0.15", output="0.60")

    books.put(*(call(workspace_id, model_id=model_id, meters={"input": 1, "output": 1}) for _ in range(1000)))
    books.take()

    assert {Decimal("0.00000075")} == {row["billed_cost"] for row in books.rows()}
    assert [Decimal("0.00075")] * 4 == [_total(books, table) for table in books.rollups()]


def test_bc_027_a_tenth_and_two_tenths_are_three_tenths(books: Books) -> None:
    workspace_id, model_id = books.workspace(), new_id()
    books.price(model_id, input="1.00")

    books.put(*(call(workspace_id, model_id=model_id, meters={"input": count}) for count in (100_000, 200_000)))
    books.take()

    assert [Decimal("0.1"), Decimal("0.2")] == sorted(row["billed_cost"] for row in books.rows())
    assert Decimal("0.3") == _total(books, "rollup_hour_key")


def test_bc_030_a_reported_zero_costs_zero_and_is_no_estimate(books: Books) -> None:
    workspace_id, model_id = books.workspace(), new_id()
    books.price(model_id, input="1.00", output="2.00")

    books.put(call(workspace_id, model_id=model_id, meters={}))
    books.take()

    (row,) = books.rows()
    assert (0, 0, Decimal(0), "reported") == (row["input"], row["output"], row["billed_cost"], row["usage_source"])


def test_bc_033_cached_tokens_are_charged_once_at_their_own_price(books: Books) -> None:
    workspace_id, with_write, without_write = books.workspace(), new_id(), new_id()
    books.price(with_write, input="3.00", cache_read="0.30", cache_write_5m="3.75", output="15.00")
    books.price(without_write, input="3.00", cache_read="0.30", output="15.00")
    meters = {"input": 1200, "cache_read": 500, "cache_write_5m": 300}

    for second, model_id in enumerate((with_write, without_write)):
        books.put(call(workspace_id, at=NOON + timedelta(seconds=second), model_id=model_id, meters=meters))
    books.take()

    assert [Decimal("0.004875"), Decimal("0.00465")] == [row["billed_cost"] for row in books.rows()]


def test_a_charge_names_the_price_rows_that_made_it(books: Books) -> None:
    workspace_id, model_id = books.workspace(), new_id()
    ids = books.price(model_id, input="1.00", output="2.00", cache_read="0.5")

    books.put(call(workspace_id, model_id=model_id))
    books.take()

    (row,) = books.rows()
    assert [ids["input"], ids["output"]] == row["price_ids"]
    assert Decimal("0.00021") == row["list_cost"] == row["billed_cost"]


def test_a_call_without_a_price_is_unpriced_and_not_free(books: Books) -> None:
    workspace_id, model_id = books.workspace(), new_id()
    books.price(model_id, input="1.00")

    books.put(call(workspace_id), call(workspace_id, model_id=model_id, meters={"input": 1, "output": 1}))
    books.take()

    assert [(None, [], True)] * 2 == [(row["billed_cost"], row["price_ids"], row["charged"]) for row in books.rows()]
    assert 2 == sum(row["unpriced"] for row in books.sql("select unpriced from rollup_hour_key"))


def test_a_call_that_is_not_billable_costs_nothing_by_no_price(books: Books) -> None:
    workspace_id, model_id = books.workspace(), new_id()
    books.price(model_id, input="1.00", output="2.00")

    books.put(
        call(workspace_id, model_id=model_id, billable=False, billable_reason="provider failed"), call(workspace_id)
    )
    books.put(call(workspace_id, billable=False, billable_reason="unpriced and failed"))
    books.take()

    assert [Decimal(0), Decimal(0), None] == sorted(
        (row["billed_cost"] for row in books.rows()), key=lambda cost: cost is None
    )
    assert not any(row["price_ids"] for row in books.rows())


def test_the_price_at_the_instant_of_the_call_counts(books: Books) -> None:
    workspace_id, model_id = books.workspace(), new_id()
    books.price(model_id, valid=f"[-infinity,{NOON.isoformat()})", input="1.00")
    books.price(model_id, valid=f"[{NOON.isoformat()},infinity)", input="3.00")

    for at in (NOON - timedelta(milliseconds=1), NOON):
        books.put(call(workspace_id, at=at, model_id=model_id, meters={"input": 1_000_000}))
    books.take()

    assert [Decimal("1.00"), Decimal("3.00")] == [row["billed_cost"] for row in books.rows()]


def test_a_deployments_own_price_goes_before_its_models(books: Books) -> None:
    workspace_id, model_id, deployment_id = books.workspace(), new_id(), new_id()
    books.price(model_id, of=workspace_id, input="1.00")
    books.price(deployment_id, of=workspace_id, input="5.00")

    books.put(call(workspace_id, model_id=model_id, deployment_id=deployment_id, meters={"input": 1_000_000}))
    books.take()

    assert Decimal("5.00") == books.rows()[0]["billed_cost"]


def test_a_workspace_can_reprice_neither_the_platforms_model_nor_anothers(books: Books) -> None:
    honest, cheat, shared, own = books.workspace(), books.workspace(), new_id(), new_id()
    books.price(shared, input="1.00")
    books.price(own, of=honest, input="1.00")
    for subject_id in (shared, own):
        books.price(subject_id, of=cheat, input="0")

    for workspace_id, model_id in ((cheat, shared), (honest, own), (honest, shared)):
        books.put(call(workspace_id, model_id=model_id, meters={"input": 1_000_000}))
    books.take()

    assert [Decimal("1.00")] * 3 == [row["billed_cost"] for row in books.rows()]


def test_a_charge_keeps_list_billed_and_provider_cost_and_what_made_them(books: Books) -> None:
    workspace_id, model_id, adjustment_id = books.workspace(), new_id(), new_id()
    books.price(model_id, input="4.00", output="8.00")
    books.owner.execute(
        "insert into price (workspace_id, price_id, subject_id, meter, kind, unit_price, service_tier, context_over, valid)"
        " values (%(p)s, gen_random_uuid(), %(m)s, 'input', 'provider_cost', 1, 'standard', 0, '(,)'),"
        " (%(p)s, gen_random_uuid(), %(m)s, 'input', 'list', 2, 'batch', 0, '(,)'),"
        " (%(p)s, gen_random_uuid(), %(m)s, 'input', 'list', 6, 'standard', 1000000, '(,)'),"
        " (%(w)s, gen_random_uuid(), %(m)s, 'output', 'contract', 7, 'standard', 0, '(,)')",
        {"p": PLATFORM_ID, "w": workspace_id, "m": model_id},
    )
    books.owner.execute(
        "insert into price_adjustment (workspace_id, adjustment_id, factor, valid) values (%s, %s, 0.5, '(,)')",
        [workspace_id, adjustment_id],
    )
    million = {"input": 1_000_000}
    calls = [(million, None), (million, "batch"), ({"input": 2_000_000}, None), ({"output": 1_000_000}, None)]

    for second, (meters, tier) in enumerate(calls):
        at = NOON + timedelta(seconds=second)
        books.put(call(workspace_id, at=at, model_id=model_id, meters=meters, service_tier=tier))
    books.take()

    rows = books.sql(
        "select c.*, u.service_tier from charge c join usage_event u using (event_id) order by c.occurred_at"
    )
    costs = [(row["list_cost"], row["billed_cost"], row["provider_cost"], row["adjustment_id"]) for row in rows]
    assert [
        (4, 2, 1, adjustment_id),
        (2, 1, 1, adjustment_id),
        (12, 6, 2, adjustment_id),
        (8, 7, None, None),
    ] == costs
    assert [None, "batch", None, None] == [row["service_tier"] for row in rows]
    assert [None] * 4 == [row["run_id"] for row in rows]
    assert {(26, 16)} == {
        tuple(books.sql(f"select sum(list_cost) as l, sum(billed_cost) as b from {table}")[0].values())
        for table in books.rollups()
    }
    assert books.rollups() == books.rollups_from_rows()


def _total(books: Books, table: str) -> Decimal:
    return Decimal(books.sql(f"select sum(billed_cost) as total from {table}")[0]["total"])
