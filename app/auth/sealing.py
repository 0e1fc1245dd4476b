"""Seals anew what belongs to accounts and identity providers, after `SECRET_KEY` has changed."""

from sqlalchemy import select

from app.auth.directory_tables import IdentityProviderRow
from app.auth.tables import UserRow
from app.crypto import Resealing
from app.extensions import transaction, vault
from app.logging import audit
from app.units import PLATFORM_ID


def reseal() -> Resealing:
    """Seal the client secrets and the second factors with the newest key."""
    tally = Resealing()
    providers = select(IdentityProviderRow).where(IdentityProviderRow.sealed_secret.is_not(None)).with_for_update()
    people = select(UserRow).where(UserRow.totp_sealed.is_not(None)).with_for_update()
    with transaction(PLATFORM_ID) as session:
        for provider in session.scalars(providers):
            assert provider.sealed_secret
            provider.sealed_secret = tally.renewed(
                vault(), provider.sealed_secret, f"identity provider {provider.name}: client secret"
            )
        for person in session.scalars(people):
            assert person.totp_sealed
            person.totp_sealed = tally.renewed(
                vault(), person.totp_sealed, f"account {person.email}: two-factor secret"
            )
        if tally.done:
            audit.record("secrets.reseal", kind="secrets", id=PLATFORM_ID, name="sign-in", after={"count": tally.done})
    return tally
