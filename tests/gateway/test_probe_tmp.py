import pytest
def test_x(start_gateway):
    start_gateway(environment={"DATABASE_URL": "nonsense"})
