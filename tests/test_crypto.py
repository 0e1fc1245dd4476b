import pytest

from app.crypto import CannotOpen, Keys, Resealing, Vault

OLD, NEW, OTHER = (f"{word}-secret-of-enough-length-for-us" for word in ("old", "new", "other"))
CONTEXT = b"provider 7"


@pytest.fixture
def before():
    return Vault.of(OLD)


@pytest.fixture
def ring():
    return Vault.of(NEW, [OLD])


def test_a_ring_opens_what_each_of_its_keys_sealed(before, ring):
    for vault in (before, ring):
        assert "sk-1" == ring.open(vault.seal("sk-1", CONTEXT), CONTEXT)


def test_a_ring_seals_with_its_newest_key(ring):
    sealed = ring.seal("sk-1", CONTEXT)

    assert "sk-1" == Vault.of(NEW).open(sealed, CONTEXT)
    with pytest.raises(CannotOpen):
        Vault.of(OLD).open(sealed, CONTEXT)


def test_what_is_sealed_anew_needs_the_old_key_no_more(before, ring):
    renewed = ring.reseal(before.seal("sk-1", CONTEXT))

    assert "sk-1" == Vault.of(NEW).open(renewed, CONTEXT)
    with pytest.raises(CannotOpen):
        Vault.of(NEW).open(renewed, b"provider 8")


@pytest.mark.parametrize("damage", [lambda _: b"", lambda it: b"\2" + it[1:], lambda it: it[:30], lambda it: it[:-1]])
def test_what_is_damaged_does_not_open(ring, damage):
    with pytest.raises(CannotOpen):
        ring.open(damage(ring.seal("sk-1", CONTEXT)), CONTEXT)


def test_signatures_of_all_keys_count_and_the_newest_signs(before, ring):
    signed = ring.signatures(b"form", b"x")

    assert [ring.sign(b"form", b"x"), before.sign(b"form", b"x")] == signed
    assert before.sign(b"visit", b"x") not in signed


def test_a_key_is_hashed_as_each_secret_hashed_it(before, ring):
    assert Vault.of(NEW).hash_key(b"gw_1") == ring.hash_key(b"gw_1")
    assert [before.hash_key(b"gw_1")] == ring.older_hashes(b"gw_1")


def test_peppers_have_numbers_of_their_own_that_fit_the_column():
    versions = {Keys.of(f"secret number {number}").pepper_version for number in range(50)}

    assert 50 == len(versions)
    assert all(1 < version < 2**31 for version in versions)


def test_sealing_anew_is_counted_and_what_no_key_opens_is_named_and_kept(before, ring):
    tally, lost = Resealing(), Vault.of(OTHER).seal("sk-3", CONTEXT)

    renewed = [
        tally.renewed(ring, sealed, name)
        for name, sealed in (("a", before.seal("sk-1", CONTEXT)), ("b", ring.seal("sk-2", CONTEXT)), ("c", lost))
    ]

    assert (1, 1, ["c"]) == (tally.done, tally.kept, tally.lost)
    assert ["sk-1", "sk-2"] == [Vault.of(NEW).open(one, CONTEXT) for one in renewed[:2]]
    assert lost == renewed[2]


def test_a_vault_never_shows_its_keys(ring):
    assert all(secret.hex() not in repr(ring) and repr(secret) not in repr(ring) for secret in (ring.newest.pepper,))
    assert OLD not in repr(ring)
