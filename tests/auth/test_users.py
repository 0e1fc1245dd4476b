import pytest
from sqlalchemy.exc import IntegrityError

from app.auth import users
from app.auth.tables import UserRow
from app.extensions import transaction
from app.units import PLATFORM_ID, new_id
from app.workspace.names import Invalid

pytestmark = pytest.mark.usefixtures("app")


def test_bc_093_letter_case_does_not_make_a_second_person():
    made = users.create("Jane.Doe@Corp.test", "Jane", "hash")

    assert made == users.id_of("JANE.DOE@corp.test")
    assert "jane.doe@corp.test" == users.of([made])[made].email
    with pytest.raises(Invalid, match="account already"):
        users.create("jane.doe@CORP.test", "Jane", "hash")


def test_the_table_itself_takes_small_letters_only():
    with pytest.raises(IntegrityError), transaction(PLATFORM_ID) as session:
        session.add(UserRow(user_id=new_id(), email="Jane@corp.test", name="Jane"))


@pytest.mark.parametrize(
    "email",
    [
        "",
        "jane",
        "jane@",
        "@corp.test",
        "a b@corp.test",
        "a@b@c",
        "=x@corp.test",
        "jane@corp.test\n x",
        "x" * 250 + "@corp.test",
    ],
)
def test_what_is_no_address_gets_no_account(email):
    with pytest.raises(Invalid) as refused:
        users.create(email, "Jane", "hash")

    assert refused.value.field == "email"


def test_the_first_admin_is_made_once_and_keeps_a_changed_password():
    assert users.ensure_admin("Admin@localhost", "a-long-password")
    admin = users.to_sign_in("admin@localhost")
    assert admin
    users.set_password_hash(admin.person.user_id, "another hash")

    assert not users.ensure_admin("admin@localhost", "a-long-password")

    again = users.to_sign_in("admin@localhost")
    assert again
    assert ("admin", "another hash") == (again.person.platform_role, again.password_hash)


def test_people_are_found_by_a_part_of_name_or_address():
    jane, john = users.create("jane@corp.test", "Jane Doe", "h"), users.create("john@other.test", "John_Roe", "h")

    assert [jane] == users.matching("DOE", [jane, john])
    assert [john] == users.matching("other.t", [jane, john])
    assert [john] == users.matching("_", [jane, john])
    assert [] == users.matching("jane", [john])
