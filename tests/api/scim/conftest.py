import pytest
from flask import Flask

from tests.api.scim import directory
from tests.api.scim.directory import Provisioning


@pytest.fixture
def entra(app: Flask) -> Provisioning:
    """The provisioning of an Entra ID tenant."""
    return directory.connect(app)
