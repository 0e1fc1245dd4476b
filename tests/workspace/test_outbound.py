"""Where connections may go that a tenant asks for: checked at the connect, whatever the name says."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from app.workspace import addresses, outbound
from app.workspace.outbound import CannotSend, Rules
from tests import receivers

OPEN = Rules(private_allowed=True)
CLOSED = Rules()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::7f00:1",
        "2001:0:53aa:64c::",
    ],
)
def test_addresses_that_are_not_of_the_public_internet_are_inside(address: str) -> None:
    assert addresses.is_inside(address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_public_addresses_are_not(address: str) -> None:
    assert not addresses.is_inside(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "[::1]"])
def test_a_webhook_to_this_machine_is_refused_however_it_is_written(host: str) -> None:
    with receivers.hook() as hook, pytest.raises(CannotSend, match="inside this network") as refusal:
        outbound.post(f"http://{host}:{hook.port}/", b"{}", {}, CLOSED)

    assert refusal.value.permanent
    assert [] == hook.bodies


def test_the_operator_can_allow_them() -> None:
    with receivers.hook() as hook:
        assert "200 OK" == outbound.post(hook.url, b"{}", {"A": "b"}, OPEN)

    assert [b"{}"] == hook.bodies
    assert "b" == hook.headers[0]["a"]


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "168.63.129.16",
        "fd00:ec2::254",
        "fe80::a9fe:a9fe",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "::a9fe:a9fe",
    ],
)
def test_a_clouds_metadata_is_out_of_reach_whatever_is_allowed(address: str) -> None:
    host = f"[{address}]" if ":" in address else address

    with pytest.raises(CannotSend, match="no message is sent to") as refusal:
        outbound.post(f"http://{host}/latest/meta-data/", b"{}", {}, OPEN)

    assert refusal.value.permanent


def test_a_redirect_is_not_followed() -> None:
    with receivers.hook() as hook, receivers.hook() as inside:
        hook.statuses, hook.location = [307], inside.url
        with pytest.raises(CannotSend, match="307 Temporary Redirect"):
            outbound.post(hook.url, b"{}", {}, OPEN)

    assert [] == inside.bodies


@pytest.mark.parametrize(("status", "permanent"), [(400, False), (404, False), (410, True), (429, False), (500, False)])
def test_any_answer_but_2xx_is_a_failure(status: int, permanent: bool) -> None:
    with receivers.hook() as hook:
        hook.statuses, hook.answer = [status], b"no\r\n\x00service"
        with pytest.raises(CannotSend, match=str(status)) as failure:
            outbound.post(hook.url, b"{}", {}, OPEN)

    assert permanent == failure.value.permanent
    assert failure.value.problem.endswith(": no service")


def test_nobody_there_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    with pytest.raises(CannotSend, match="no connection: Connection refused"):
        outbound.post(f"http://127.0.0.1:{port}/", b"{}", {}, OPEN)


def test_an_answer_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "WHOLE_LIMIT_S", 0.3)

    with _dripping() as port, pytest.raises(CannotSend):
        outbound.post(f"http://127.0.0.1:{port}/", b"{}", {}, OPEN)


def test_no_answer_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "LIMIT_S", 0.2)

    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(CannotSend, match="no answer within"):
        outbound.post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"{}", {}, OPEN)


def test_tls_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "LIMIT_S", 2.0)

    with receivers.hook() as hook, pytest.raises(CannotSend, match="TLS failed"):
        outbound.post(f"https://127.0.0.1:{hook.port}/", b"{}", {}, OPEN)

    assert [] == hook.bodies


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.com",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://",
        "https://user:word@example.com/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com/a b",
        "https://example.com/\r\nX: y",
        "https://exämple.com/",
        "http://[::1",
    ],
)
def test_what_is_no_address_of_a_webhook_is_said(url: str) -> None:
    assert addresses.problem_with(url)


def test_what_is_one_passes() -> None:
    assert addresses.problem_with("https://hooks.example.com:8443/a/b?c=d") is None


@contextmanager
def _dripping() -> Iterator[int]:
    """A server that sends a byte of its head every 50 ms."""
    stop = threading.Event()

    def drip(server: socket.socket) -> None:
        with closing(server.accept()[0]) as client:
            try:
                client.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not stop.wait(0.05):
                    client.sendall(b"a")
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        yield server.getsockname()[1]
        stop.set()
        thread.join()
