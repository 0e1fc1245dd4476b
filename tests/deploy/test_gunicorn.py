"""`deploy/gunicorn.conf.py`: what the server does before and after the gateway's own code."""

import os
import resource
import signal
import time

import httpx
import psutil

from tests.gateway_process import eventually


def test_no_header_tells_a_version(gateway):
    answer = httpx.get(f"{gateway.url}/healthz", trust_env=False)

    assert not [value for value in answer.headers.values() if any(word in value.lower() for word in ("/2", "python"))]


def test_metrics_have_a_socket_of_their_own(gateway):
    assert httpx.get(gateway.metrics_url, trust_env=False).status_code == 200
    assert httpx.get(f"{gateway.url}/metrics", trust_env=False).status_code == 404


def test_an_idle_connection_does_not_hold_a_stopping_server(start_gateway):
    gateway = start_gateway()
    with httpx.Client(base_url=gateway.url, trust_env=False) as client:
        client.get("/healthz")
        began = time.monotonic()

        gateway.web.send_signal(signal.SIGTERM)

        assert gateway.web.wait(20) == 0
        assert time.monotonic() - began < 10


def test_a_stopping_server_says_so_first_to_whoever_asks(start_gateway):
    gateway = start_gateway()
    with httpx.Client(base_url=gateway.url, trust_env=False) as client:
        assert client.get("/readyz").status_code == 200
        os.kill(gateway.web_workers()[0], signal.SIGTERM)

        answer = client.get("/readyz")

    assert (answer.status_code, answer.headers["connection"]) == (503, "close")


def test_the_counters_of_a_former_run_are_forgotten(start_gateway):
    gateway = start_gateway()
    old = gateway.folder / "metrics" / "counter_1.db"
    gateway.web.send_signal(signal.SIGTERM)
    gateway.web.wait(20)
    old.write_bytes(b"")

    gateway.start_web()

    eventually(lambda: _is_alive(gateway), 30)
    assert not old.exists()


def test_no_control_socket_is_made(gateway):
    sockets = [connection.laddr for connection in psutil.Process(gateway.web.pid).net_connections("unix")]

    assert [path for path in sockets if path] == []


def test_a_worker_may_open_as_many_files_as_the_system_grants(start_gateway):
    granted = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, granted[1]))
    try:
        gateway = start_gateway()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, granted)

    soft, hard = psutil.Process(gateway.web_workers()[0]).rlimit(psutil.RLIMIT_NOFILE)

    assert soft == hard == granted[1]


def _is_alive(gateway) -> bool:
    try:
        return httpx.get(f"{gateway.url}/healthz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
