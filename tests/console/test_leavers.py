"""Who leaves is out at once, by every door, and comes back only when somebody lets him in."""

from sqlalchemy import update

from app.application import applications, keys
from app.auth import joining
from app.auth.tables import UserRow
from app.extensions import transaction
from app.units import PLATFORM_ID, utc_now
from app.workspace import members, workspaces
from app.workspace.members import By
from tests import people
from tests.factories import unique


def disable(person, at):
    """Disable an account; None enables it again."""
    with transaction(PLATFORM_ID) as session:
        session.execute(update(UserRow).where(UserRow.user_id == person.user_id).values(disabled_at=at))


def sign_in(app, person):
    visitor = people.Browser(app.test_client())
    return visitor.post("/sign-in", {"email": person.email, "password": people.PASSWORD})


def test_bc_088_a_disabled_person_is_out_at_once_and_cannot_come_back(app, acme):
    leaver = people.member(acme, "owner", password=people.PASSWORD)
    owner = By(user_id=people.member(acme, "owner").user_id, role="owner")
    other = workspaces.create(unique("other"))
    link = f"/join/{other}/{joining.invite(other, leaver.email, 'viewer', by=owner, now=utc_now())}"
    browser, page = leaver.client(app), f"/w/{acme}/keys"
    before = browser.get(page)

    disable(leaver, utc_now())
    seen, changed = browser.get(page), browser.post(f"/w/{acme}/settings", {"name": "mine"})
    refused = sign_in(app, leaver)
    joined = people.Browser(app.test_client()).post(link, {"name": "Me again", "password": people.PASSWORD})

    assert 200 == before.status_code
    assert [303, 303] == [seen.status_code, changed.status_code]
    assert all(answer.headers["Location"].startswith("/sign-in") for answer in (seen, changed))
    assert 422 == refused.status_code
    assert "The e-mail or the password is wrong." in refused.get_data(as_text=True)
    assert members.role_of(other, leaver.user_id) is None
    assert joined.headers["Location"].startswith("/sign-in")


def test_bc_088_who_is_enabled_again_finds_revoked_keys_revoked(app, acme):
    leaver = people.member(acme, "owner", password=people.PASSWORD)
    application_id = applications.create(acme, "chatbot")
    revoked, kept = (keys.create(acme, application_id, name, models=["*"]).key_id for name in ("revoked", "kept"))
    leaver.client(app).post(f"/w/{acme}/keys/{revoked}/revoke")

    disable(leaver, utc_now())
    refused = sign_in(app, leaver)
    disable(leaver, None)
    answer = sign_in(app, leaver)

    assert [422, 303] == [refused.status_code, answer.status_code]
    assert ["revoked", "active"] == [keys.get(acme, one).state for one in (revoked, kept)]


def test_bc_088_who_is_removed_from_a_workspace_finds_it_gone_at_once(app, acme):
    owner, leaver = people.member(acme, "owner").client(app), people.member(acme, "admin", password=people.PASSWORD)
    browser, page = leaver.client(app), f"/w/{acme}/keys"
    before = browser.get(page).status_code

    removed = owner.post(f"/w/{acme}/members/{leaver.user_id}/remove")
    after = [browser.get(page).status_code, browser.post(page, {"name": "mine"}).status_code]
    back = sign_in(app, leaver)

    assert (200, 303) == (before, removed.status_code)
    assert [404, 404] == after
    assert 303 == back.status_code
    assert members.role_of(acme, leaver.user_id) is None
