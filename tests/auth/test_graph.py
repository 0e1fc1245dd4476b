from pathlib import Path

import pytest

from app.auth import graph
from app.auth.id_tokens import Refused
from app.auth.outbound import Session
from tests.tls import Authority, Site

FIRST = "/v1.0/me/transitiveMemberOf?$select=id&$top=999"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def site(authority: Authority):
    site = Site(authority)
    yield site
    site.stop()


def groups(site: Site, authority: Authority):
    with Session(authority.ca_file) as session:
        return graph.groups(session, site.url, "the-token")


def refusal(site: Site, authority: Authority) -> str:
    with pytest.raises(Refused) as refused:
        groups(site, authority)
    assert "groups" == refused.value.claim
    return refused.value.says


def group(name, kind="group"):
    return {"@odata.type": f"#microsoft.graph.{kind}", "id": name}


def test_groups_are_read_page_by_page(site, authority):
    second = "/v1.0/me/transitiveMemberOf?$skiptoken=2"
    site.answers[FIRST] = (
        200,
        {"value": [group("g1"), group("r1", "directoryRole")], "@odata.nextLink": site.url + second},
    )
    site.answers[second] = 200, {"value": [group("g2"), {"id": "g3"}]}

    assert {"g1", "g2", "g3"} == groups(site, authority)
    assert ["Bearer the-token"] * 2 == [headers["Authorization"] for _, headers in site.asked]


def test_no_groups_are_none(site, authority):
    site.answers[FIRST] = 200, {"value": []}

    assert frozenset() == groups(site, authority)


def test_the_token_is_shown_to_no_other_host(site, authority):
    other = Site(authority)
    site.answers[FIRST] = 200, {"value": [group("g1")], "@odata.nextLink": other.url + FIRST}

    assert "another host" in refusal(site, authority)
    site.answers[FIRST] = 302, {"to": other.url + FIRST}
    assert "302" in refusal(site, authority)
    assert [] == other.asked
    other.stop()


@pytest.mark.parametrize(
    ("status", "answer", "says"),
    [
        (403, {"error": {"code": "Authorization_RequestDenied"}}, "403 Authorization_RequestDenied"),
        (401, {}, "401"),
        (429, {"error": "slow down"}, "429"),
        (500, b"not json", "does not answer"),
        (200, {"no": "value"}, "no list"),
        (200, [], "200"),
        (200, {"value": "g1"}, "no list"),
    ],
)
def test_what_graph_does_not_tell_is_not_taken_for_none(site, authority, status, answer, says):
    site.answers[FIRST] = status, answer

    assert says in refusal(site, authority)


def test_a_list_without_end_is_refused(site, authority):
    site.answers[FIRST] = 200, {"value": [group("g1")], "@odata.nextLink": site.url + FIRST}

    assert "pages" in refusal(site, authority)
    assert graph.MOST_PAGES == len(site.asked)


def test_a_host_that_is_away_is_said(authority):
    away = Site(authority)
    away.stop()

    assert "does not answer" in refusal(away, authority)


def test_a_certificate_that_nobody_vouches_for_is_refused(site, tmp_path: Path):
    site.answers[FIRST] = 200, {"value": []}

    assert "SSLError" in refusal(site, Authority(tmp_path))
