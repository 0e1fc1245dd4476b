"""Takes the pictures of the documents anew: `script/test tests/e2e/pictures.py --pictures docs/images`."""

from pathlib import Path

import pytest

from tests.e2e import scene
from tests.e2e.conftest import OpenTab
from tests.gateway_process import Gateway

PAGES = {"overview": "", "keys": "keys", "usage": "usage"}
LARGEST_BYTES = 200_000


@pytest.fixture(scope="module")
def acme(gateway: Gateway) -> scene.Scene:
    return scene.build(gateway, "Acme")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_picture(acme: scene.Scene, open_tab: OpenTab, pictures: Path, name: str, scheme: str) -> None:
    tab = open_tab(acme.owner, color_scheme=scheme)
    tab.go(f"/w/{acme.workspace_id}/{PAGES[name]}")
    tab.settle()

    tab.picture(pictures, f"{name}-{scheme}")

    assert (pictures / f"{name}-{scheme}.png").stat().st_size <= LARGEST_BYTES
