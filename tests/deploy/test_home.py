"""The home: its lock, its secrets, its ports."""

import fcntl
import json
import os
import socket
import stat
import time

import pytest

from deploy.local import home as homes
from deploy.local.home import Home, InUse, problem_with_port


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    yield home
    os.close(home.lock)


def test_a_secret_is_kept_and_private(home):
    first = home.secret("some.password", "made-first")

    assert (first, home.secret("some.password", "made-later")) == ("made-first", "made-first")
    assert stat.S_IMODE((home.folder / "some.password").stat().st_mode) == 0o600


def test_a_port_is_remembered_while_it_is_free(home):
    first = home.port("valkey")
    assert home.port("valkey") == first

    with socket.create_server(("127.0.0.1", first)):
        second = home.port("valkey")

    assert second != first
    assert json.loads((home.folder / "state").read_text()) == {"ports": {"valkey": second}}


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"ports": 1}', '{"ports": {"valkey": "x"}}'])
def test_a_damaged_memory_of_ports_is_forgotten(home, damaged):
    (home.folder / "state").write_text(damaged)

    assert 0 < home.port("valkey") < 65536


def test_a_home_in_use_names_its_process_at_once(home, monkeypatch):
    monkeypatch.setattr(homes, "ENDING_LIMIT_S", 5.0)
    began = time.monotonic()

    with pytest.raises(InUse, match=f"another instance \\(process {os.getpid()}\\) uses"):
        Home(home.folder)

    assert time.monotonic() - began < homes.ENDING_LIMIT_S


def test_children_of_a_killed_instance_are_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(homes, "ENDING_LIMIT_S", 0.3)
    left_over = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(left_over, fcntl.LOCK_EX)
    os.write(left_over, b"999999999\n")

    with pytest.raises(InUse):
        Home(tmp_path)
    os.close(left_over)

    os.close(Home(tmp_path).lock)


@pytest.mark.parametrize("host", ["x" * 300, "203.0.113.1"])
def test_a_host_that_cannot_be_listened_on_is_named(host):
    assert host in problem_with_port(host, 0)
