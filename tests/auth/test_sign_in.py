import pytest
from sqlalchemy import text, update

from app.auth import passwords, sessions, sign_in, throttle, users
from app.auth.tables import UserRow
from app.extensions import transaction
from app.units import PLATFORM_ID, utc_now

JANE, PASSWORD = "jane.doe@example.test", "correct horse battery"
WHERE = {"ip": "203.0.113.7", "user_agent": "tests"}


@pytest.fixture
def jane(app):
    assert app.testing
    return users.create(JANE, "Jane", passwords.hash_of(PASSWORD))


def enter(email=JANE, password=PASSWORD):
    return sign_in.with_password(email, password, now=utc_now(), **WHERE)


def entries():
    with transaction(PLATFORM_ID) as session:
        found = session.execute(text("select * from audit_outbox order by occurred_at, audit_id")).mappings()
        return [one for one in found if one["action"].startswith("session.")]


@pytest.mark.parametrize("email", [JANE, "Jane.Doe@Example.TEST", "  jane.doe@example.test "])
def test_bc_093_the_right_password_opens_a_session_whatever_the_letter_case(jane, email):
    token = enter(email)

    found = sessions.find(token, now=utc_now())
    assert found
    assert jane == found.user_id


@pytest.mark.parametrize(
    ("email", "password"),
    [(JANE, "wrong horse battery"), (JANE, ""), ("john@example.test", PASSWORD), ("", ""), ("' or 1=1 --", PASSWORD)],
)
def test_everything_else_is_wrong_in_the_same_words(jane, email, password):
    with pytest.raises(sign_in.Wrong) as wrong:
        enter(email, password)

    assert jane
    assert str(wrong.value) == ""


def test_a_disabled_account_and_one_without_a_password_cannot_sign_in(jane):
    for change in ({"disabled_at": utc_now()}, {"disabled_at": None, "password_hash": None}):
        with transaction(PLATFORM_ID) as session:
            session.execute(update(UserRow).where(UserRow.user_id == jane).values(**change))
        with pytest.raises(sign_in.Wrong):
            enter()


def test_after_five_failures_even_the_right_password_waits(jane):
    for _ in range(5):
        with pytest.raises(sign_in.Wrong):
            enter(password="wrong horse battery")

    with pytest.raises(throttle.Wait):
        enter()
    assert jane


def test_a_password_is_hashed_anew_when_its_hash_is_dated(jane):
    from argon2 import PasswordHasher

    weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    users.set_password_hash(jane, weak)

    enter()

    account = users.to_sign_in(JANE)
    assert account
    assert weak != account.password_hash
    assert not passwords.is_dated(account.password_hash)
    assert enter()


def test_signing_in_failing_and_leaving_are_in_the_audit_trail(jane):
    with pytest.raises(sign_in.Wrong):
        enter(password="wrong horse battery")
    sign_in.out(enter(), sessions.Person(user_id=jane, email=JANE, name="Jane"))

    found = [
        (one["action"], one["outcome"], one["object_kind"], one["object_id"], one["object_name"]) for one in entries()
    ]
    me = ("person", str(jane), JANE)
    assert [
        ("session.create", "refused", *me),
        ("session.create", "done", *me),
        ("session.delete", "done", *me),
    ] == found
    assert {PLATFORM_ID} == {one["workspace_id"] for one in entries()}
    assert PASSWORD not in str(entries())


def test_what_is_typed_as_an_address_and_is_none_is_not_written_down(jane):
    for typed in ("correct horse battery", "john@example.test"):
        with pytest.raises(sign_in.Wrong):
            enter(email=typed)

    assert jane
    assert ["", "john@example.test"] == [one["object_name"] for one in entries()]
