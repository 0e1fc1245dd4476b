import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from app.logging import process_log

SECRET = "Zq7Xw0Lk9Vb3Nn5Tt1"
log = logging.getLogger("tests.process_log")


class Lines:
    """What was written to stderr since the last look, parsed."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def read(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._capture.readouterr().err.splitlines()]

    def only(self) -> dict[str, Any]:
        (line,) = self.read()
        return line


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    excepthook = sys.excepthook
    process_log.configure()
    yield Lines(capfd)
    logging.captureWarnings(capture=False)
    root.handlers[:], sys.excepthook = before, excepthook
    root.setLevel(level)


def run(code: str) -> list[dict[str, Any]]:
    """Run a program whose first act is to configure its log; its stderr must be JSON lines and nothing else."""
    program = f"from app.logging import process_log; process_log.configure()\n{code}"
    done = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, timeout=30, check=False)
    return [json.loads(line) for line in done.stderr.decode().splitlines()]


def test_a_record_is_one_json_line(lines: Lines) -> None:
    log.warning("two\nlines of %s", "text", extra={"attempt": 2})

    line = lines.only()

    assert (
        line["level"],
        line["logger"],
        line["message"],
        line["attempt"],
    ) == ("warning", "tests.process_log", "two\nlines of text", 2)
    assert os.getpid() == line["pid"]
    assert datetime.fromisoformat(line["time"]).utcoffset() is not None
    assert line["time"].endswith("Z")


def test_configuring_twice_writes_each_line_once(lines: Lines) -> None:
    process_log.configure()

    log.info("once")

    assert lines.only()["message"] == "once"


def test_a_library_with_a_handler_of_its_own_is_taken_over(lines: Lines) -> None:
    logging.getLogger("gunicorn.error").addHandler(logging.StreamHandler())
    process_log.configure()

    logging.getLogger("gunicorn.error").info("Booting worker")

    assert lines.only()["logger"] == "gunicorn.error"


def test_a_record_carries_the_request_it_belongs_to(lines: Lines) -> None:
    log.info("hello", extra={"request_id": "0192f0e4-0000-7000-8000-000000000000"})

    assert lines.only()["request_id"] == "0192f0e4-0000-7000-8000-000000000000"


def test_an_exception_is_text_without_local_values(lines: Lines) -> None:
    def fails(_prompt: str) -> None:
        raise ValueError("no such thing")

    prompt = "the private " + "sentence"
    try:
        fails(prompt)
    except ValueError:
        log.exception("it broke")

    line = lines.only()
    assert "ValueError: no such thing" in line["exception"]
    assert "in fails" in line["exception"]
    assert "the private sentence" not in json.dumps(line)


@pytest.mark.parametrize("place", ["message", "argument", "extra", "secret_name", "exception", "nested"])
def test_a_secret_is_masked_wherever_it_stands(lines: Lines, place: str) -> None:
    bearer = f"Bearer {SECRET}"
    error = RuntimeError(f"postgresql://app:{SECRET}@127.0.0.1/gateway refused {bearer}")
    said: dict[str, Any] = {
        "message": {"msg": f"got {bearer}"},
        "argument": {"msg": "got %s", "args": ({"Authorization": bearer},)},
        "extra": {"msg": "x", "extra": {"seen": f"sk-{SECRET}"}},
        "secret_name": {"msg": "x", "extra": {"api_key": SECRET}},
        "exception": {"msg": "x", "exc_info": error},
        "nested": {"msg": "x", "extra": {"headers": {"x-api-key": SECRET, "cookie": SECRET}}},
    }[place]

    log.error(said.pop("msg"), *said.pop("args", ()), **said)

    line = lines.only()
    assert SECRET not in json.dumps(line)
    assert "***" in json.dumps(line)


def test_a_record_with_wrong_arguments_is_still_written() -> None:
    (line,) = run("import logging; logging.error('one %s and %s', 'argument')")

    assert line["message"] == "one %s and %s"


def test_text_that_is_no_unicode_is_still_written(lines: Lines) -> None:
    handler = process_log.StderrHandler()  # past pytest's own capture, which cannot carry such text to its parent
    handler.setFormatter(process_log.JsonFormatter())

    handler.handle(logging.makeLogRecord({"msg": "lone \udcff surrogate"}))

    assert lines.only()["message"] == "lone ? surrogate"


def test_a_message_of_any_length_is_cut(lines: Lines) -> None:
    log.error("x" * 1_000_000)

    assert len(lines.only()["message"]) == process_log.MESSAGE_LIMIT


def test_the_line_of_a_call_has_its_fields_and_no_others(lines: Lines) -> None:
    process_log.call(
        {
            "request_id": "0192f0e4-0000-7000-8000-000000000000",
            "key": "gw_abcd1234",
            "alias": "gpt-4o-mini",
            "status": 200,
            "outcome": "done",
            "code": None,
            "latency_ms": 12,
            "tokens": {"input": 5, "output": 7},
            "messages": [{"role": "user", "content": "the private sentence"}],
            "authorization": f"Bearer {SECRET}",
        }
    )

    line = lines.only()
    known = {"request_id", "key", "alias", "status", "outcome", "latency_ms", "tokens"}
    assert known | {"time", "level", "logger"} == set(line)
    assert (line["logger"], line["tokens"]) == ("call", {"input": 5, "output": 7})


def test_an_alias_that_is_a_secret_is_masked_in_the_line_of_a_call(lines: Lines) -> None:
    process_log.call({"alias": f"sk-{SECRET}", "key": f"gw_abcd1234_{SECRET}_a1B2c3"})

    line = lines.only()
    assert (line["alias"], line["key"]) == ("sk-***", "gw_abcd1234_***")


def test_an_uncaught_exception_is_logged_and_masked() -> None:
    (line,) = run(f"raise RuntimeError('Bearer {SECRET}')")

    assert (line["level"], line["message"]) == ("critical", "uncaught exception")
    assert "RuntimeError" in line["exception"]
    assert SECRET not in line["exception"]


def test_a_thread_that_dies_is_logged() -> None:
    (line,) = run("import threading; t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()")

    assert "ZeroDivisionError" in line["exception"]


def test_a_greenlet_that_dies_is_logged_without_its_arguments() -> None:
    code = f"""
import gevent
process_log.configure()
def work(key):
    raise RuntimeError("broke")
gevent.spawn(work, "{SECRET}").join()
"""
    (line,) = run(code)

    assert "RuntimeError: broke" in line["exception"]
    assert SECRET not in json.dumps(line)


def test_a_warning_is_a_line() -> None:
    (line,) = run("import warnings; warnings.warn('old', stacklevel=1)")

    assert (line["logger"], line["level"]) == ("py.warnings", "warning")


def test_a_log_nobody_reads_stops_nothing() -> None:
    program = (
        "import logging, os; from app.logging import process_log; process_log.configure(); os.close(2)\n"
        "logging.error('x'); process_log.call({'status': 200}); print('alive')"
    )

    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, timeout=30, check=False)

    assert done.stdout == b"alive\n"


def test_a_handler_that_somebody_gave_the_root_is_replaced() -> None:
    (line,) = run(
        "import logging; root = logging.getLogger()\nroot.handlers.clear(); logging.basicConfig()\n"
        "process_log.configure(); logging.error('once')"
    )

    assert line["message"] == "once"
