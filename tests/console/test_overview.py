import shlex
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import event

from app.application import applications, keys
from app.billing import month as months
from app.billing.month import Month, same_span_before
from app.console import guard, overview, snippets
from app.extensions import db
from app.model import models, price_book
from app.units import local_hour_of, new_id, utc_now, zone
from app.workspace import workspaces
from tests import people
from tests.billing.books import call
from tests.console import reading
from tests.factories import P_STD, make_provider, unique

HTMX = {"HX-Request": "true"}
COST_OF_ONE = Decimal("0.00021")


@pytest.fixture
def developer(app, acme):
    return people.member(acme, "admin").client(app)


def root(workspace_id):
    return f"/w/{workspace_id}/"


def open_steps(page):
    """The links of the steps that are still to be done."""
    return {link.rpartition("/")[0].rpartition("/")[2] for link in reading.links(page) if link.endswith("/new")}


def test_the_first_steps_show_what_is_there_and_go_with_the_first_call(acme, books, developer):
    seen = [open_steps(developer.get(root(acme)))]

    provider_id = make_provider(acme, "http://127.0.0.1:1/v1")
    seen.append(open_steps(developer.get(root(acme))))
    models.save(acme, "m", [models.Deployment(provider_id=provider_id, upstream_model="up")])
    seen.append(open_steps(developer.get(root(acme))))
    application_id = applications.create(acme, "chatbot")
    seen.append(open_steps(developer.get(root(acme))))
    key = keys.create(acme, application_id, "ci", models=["*"])
    seen.append(open_steps(developer.get(root(acme))))

    everything = ["providers", "models", "applications", "keys"]
    assert [set(everything[number:]) for number in range(5)] == seen
    keys.revoke(acme, key.key_id)
    assert {"keys"} == open_steps(developer.get(root(acme)))
    books.put(call(acme, at=utc_now()))
    books.take()
    assert "Send the first call" not in reading.text(developer.get(root(acme)))


def test_the_platforms_models_are_enough(acme, developer):
    from app.units import PLATFORM_ID

    provider_id = make_provider(PLATFORM_ID, "http://127.0.0.1:1/v1")
    models.save(PLATFORM_ID, "of the platform", [models.Deployment(provider_id=provider_id, upstream_model="up")])

    page = developer.get(root(acme))

    assert {"applications", "keys"} == open_steps(page)
    assert '"of the platform"' in reading.text(page)


def test_who_may_not_do_a_step_sees_it_without_a_link(app, acme):
    page = people.member(acme, "viewer").client(app).get(root(acme))

    assert "Add a provider" in reading.text(page)
    assert open_steps(page) == set()


def test_the_examples_have_the_address_that_the_reader_came_by(acme, developer):
    developer.client.set_cookie(guard.SESSION_COOKIE, developer.person.cookie, domain="gateway.example.test")
    page = reading.text(developer.get(root(acme), headers={"Host": "gateway.example.test:8443"}))

    assert "curl http://gateway.example.test:8443/v1/chat/completions" in page
    assert 'base_url="http://gateway.example.test:8443/v1"' in page
    assert 'baseURL: "http://gateway.example.test:8443/v1"' in page


@pytest.mark.parametrize("name", ["m", "it's", 'a"b', "meta/llama-3.1:8b", "$(id)", "日本"])
def test_an_example_can_be_pasted_whatever_the_model_is_called(name):
    curl, python, script = snippets.of("http://g.test", name)
    words = shlex.split(curl.text.replace("\\\n", ""))

    assert {"model": name, "messages": [{"role": "user", "content": "Hello"}]} == __import__("json").loads(words[-1])
    assert compile(python.text, "snippet", "exec")
    assert name in (python.text.encode().decode("unicode_escape") if name.isascii() else name)
    assert script.title == "JavaScript"


@pytest.fixture
def called(acme, books):
    """Calls of this month and of the same span of the month before, made when both have full hours."""
    model_id, now = new_id(), utc_now()
    provider_id = make_provider(acme, "http://127.0.0.1:1/v1")
    model_id = models.save(acme, "m", [models.Deployment(provider_id=provider_id, upstream_model="up")])
    price_book.set_prices(acme, model_id, dict(P_STD), now=utc_now())
    application_id = applications.create(acme, "chatbot")
    key = keys.create(acme, application_id, "ci", models=["*"])

    def make(at, count=1, **changes):
        who = {"application_id": application_id, "key_id": key.key_id, "model_id": model_id}
        books.put(*(call(acme, at=at, **(who | changes)) for _ in range(count)))
        books.take()

    make.now = now
    return make


def test_the_month_is_shown_with_what_it_was_spent_on(acme, called, developer):
    called(called.now, 2)
    called(called.now, outcome="upstream_error", error_code="provider_busy", meters={}, billable=False)

    page = reading.text(developer.get(root(acme)))

    assert "Spend $0.00042" in page
    assert "Requests 3" in page
    assert "Failed 33.33% 1 call" in page
    assert "Tokens 220" in page
    assert "provider_busy 1" in page
    assert all(name in page for name in ("chatbot", "ci"))


def test_the_chart_has_each_day_up_to_today_and_adds_up_to_the_months_cost(acme, called, developer):
    first = called.now.replace(day=1)
    called(first, 2)
    called(called.now, 3)

    page = developer.get(root(acme))
    costs = [Decimal(given["data-value"]) for tag, given in reading.attributes(page) if "data-value" in given]
    found = months.so_far(acme, called.now)

    assert called.now.day == len(costs) == len(found.days)
    assert found.figures.cost == sum(costs) == 5 * COST_OF_ONE
    assert 2 * COST_OF_ONE == costs[0] or called.now.day == 1
    assert f"{root(acme)}usage?from={first:%Y-%m-%d}&to={first:%Y-%m-%d}" in reading.links(page)


def test_a_figure_is_not_said_twice(acme, called, developer):
    called(called.now)

    page = reading.text(developer.get(root(acme)))

    assert "0.00021 USD" not in page
    assert "Tokens 110 Cost by day" in page


def test_all_figures_are_read_with_few_statements(acme, called, developer):
    called(called.now)
    seen = []
    listener = lambda *given: seen.append(given[2])  # noqa: E731

    event.listen(db.engine, "before_cursor_execute", listener)
    developer.get(root(acme))
    event.remove(db.engine, "before_cursor_execute", listener)

    assert 1 <= len(seen) <= 10, seen


def test_without_a_past_no_change_is_invented(acme, called, developer):
    called(called.now)

    page = reading.text(developer.get(root(acme)))

    assert "Changes are against" not in page
    assert "+" not in page.partition("Spend")[2].partition("Models")[0]


def month(now, before):
    figures = {"figures": now, "days": [], "comparable": now, "before": before}
    instant = datetime(2026, 11, 25, tzinfo=UTC)
    times = {"start": instant, "now": instant, "before_start": instant, "before_end": instant}
    return Month(zone=zone("UTC"), tops={}, failures=[], **figures, **times)


def some(requests, **members):
    from dataclasses import replace

    from app.billing.figures import nothing

    return replace(nothing(), requests=requests, **members)


def test_a_change_is_said_with_its_sign_and_never_beside_a_zero():
    grown = overview.deltas(month(some(30, failed=3), some(20, failed=1)))
    fewer = overview.deltas(month(some(19, failed=0), some(20, failed=1)))
    nothing_before = overview.deltas(month(some(30, failed=3), some(0)))
    no_failure_before = overview.deltas(month(some(30, failed=3), some(20)))

    assert ("+50%", "neutral") == grown["requests"]
    assert ("+5.0 points", "error") == grown["failed"]
    assert ("\N{MINUS SIGN}5.0%", "\N{MINUS SIGN}5.0 points") == (fewer["requests"][0], fewer["failed"][0])
    assert {} == nothing_before
    assert {"requests"} == no_failure_before.keys()


def test_a_change_against_the_same_span_is_shown(acme, called, developer):
    before_start, before_end = same_span_before(called.now, zone("UTC"))
    hour = local_hour_of(called.now, zone("UTC"))
    if before_start == before_end:
        before_end, hour = before_start + timedelta(hours=1), called.now
    called(before_end - timedelta(minutes=1), 2)
    called(before_end + timedelta(minutes=1), 5)
    called(hour - timedelta(minutes=1), 3)

    page = reading.text(developer.get(root(acme)))

    assert "Requests 3 +50%" in page or before_start == hour


def test_the_figures_renew_themselves_as_a_fragment(acme, called, developer):
    called(called.now)

    part = developer.get(root(acme), headers=HTMX)

    (figures,) = [given for _, given in reading.attributes(part) if given.get("id") == "figures"]
    assert not reading.is_whole_page(part)
    assert (root(acme), "every 30s") == (figures["hx-get"], figures["hx-trigger"])


def test_somebody_elses_workspace_is_not_there(app, acme):
    stranger = people.member(workspaces.create(unique("other")), "owner").client(app)

    assert 404 == stranger.get(root(acme)).status_code
