"""What a process says: one JSON object a line on stderr, for our own code and every library's.

`configure()` sends all of the standard `logging` here: gunicorn, RQ, Alembic, SQLAlchemy, uncaught
exceptions, gevent's dying greenlets. `call()` is the short way for the one line of a proxied call.
No prompt, key or secret belongs in a record; `masking` takes out what slips in.
"""

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any

import msgspec

from app.logging import masking

LEVEL = "INFO"
MESSAGE_LIMIT = 4_000
EXCEPTION_LIMIT = 12_000
"""Characters; the end of a traceback says more than its beginning. Cut roughly before masking, finely after."""

CALL_FIELDS = (
    "request_id",
    "key",
    "workspace",
    "alias",
    "provider",
    "status",
    "outcome",
    "code",
    "latency_ms",
    "first_byte_ms",
    "tokens",
)
"""What the line of a call may say. Anything else that is passed stays out of the log."""
GIVEN = ("key", "alias", "provider")
"""Those of them that somebody else chose: an unknown alias is whatever the client sent."""
NAME_LIMIT = 200

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_OWN = ("gunicorn.error", "gunicorn.access", "rq.worker", "rq.job", "alembic", "flask.app", "werkzeug", "py.warnings")
_masked_name = lru_cache(maxsize=1024)(masking.text)
_encode = msgspec.json.Encoder(enc_hook=str).encode
_STDERR = 2


class JsonFormatter(logging.Formatter):
    """Turns a record into one JSON object: time, level, logger, message, pid, extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": _rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": masking.text(_message(record)[: 4 * MESSAGE_LIMIT])[:MESSAGE_LIMIT],
            "pid": record.process or os.getpid(),
        }
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        fields.update({name: masking.field(name, value) for name, value in extra.items()})
        if record.exc_info and record.exc_info[0]:
            fields["exception"] = _exception_text(record.exc_info)
        return _json(fields).decode()


class StderrHandler(logging.Handler):
    """Writes each record with one system call, so that lines of several processes do not mix."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _write(self.format(record).encode() + b"\n")
        except Exception:  # noqa: BLE001  # a log line must never break what it describes
            _write(b'{"level":"error","logger":"app.logging","message":"a record could not be written"}\n')


LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonFormatter}},
    "handlers": {"stderr": {"()": StderrHandler, "formatter": "json"}},
    "root": {"level": LEVEL, "handlers": ["stderr"]},
    "loggers": {name: {"handlers": [], "propagate": True} for name in _OWN},
}
"""The same as `configure()`, for gunicorn's `logconfig_dict`."""


def configure(level: str = LEVEL) -> None:
    """Send every record of this process to stderr as JSON. Calling it again changes nothing but the level."""
    root = logging.getLogger()
    if not any(isinstance(handler, StderrHandler) for handler in root.handlers):
        handler = StderrHandler()
        handler.setFormatter(JsonFormatter())
        root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _OWN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_thread
    _take_over_gevent()


def call(fields: Mapping[str, Any]) -> None:
    """Write the line of one proxied call, about 5 µs. Knows `CALL_FIELDS` only; `key` is the prefix, never the key."""
    line = {"time": _rfc3339(time.time()), "level": "info", "logger": "call"}
    for name in CALL_FIELDS:
        value = fields.get(name)
        if value is not None:
            line[name] = value
    for name in GIVEN:
        if name in line:
            line[name] = _masked_name(line[name][:NAME_LIMIT])
    _write(_json(line) + b"\n")


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  # wrong arguments of somebody's log call
        return str(record.msg)


def _exception_text(exc_info: tuple[Any, Any, Any]) -> str:
    """Write a traceback without the values of any local name."""
    text = "".join(traceback.TracebackException(*exc_info, capture_locals=False).format())
    return masking.text(text[-4 * EXCEPTION_LIMIT :])[-EXCEPTION_LIMIT:]


def _json(fields: Mapping[str, Any]) -> bytes:
    try:
        return _encode(fields)
    except UnicodeEncodeError:
        printable = {name: str(value).encode(errors="replace").decode() for name, value in fields.items()}
        return _encode(printable)


def _rfc3339(at: float) -> str:
    whole, ms = divmod(int(at * 1000), 1000)
    if whole != _second[0]:
        _second[:] = [whole, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))]
    return f"{_second[1]}.{ms:03d}Z"


_second: list[Any] = [-1, ""]


def _write(line: bytes) -> None:
    """Hand over a whole line; give up on a reader that is gone or full rather than wait for it."""
    try:
        while line:
            line = line[os.write(_STDERR, line) :]
    except OSError:
        return


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("app").critical("uncaught exception", exc_info=(kind, error, trace))


def _log_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit and args.exc_value is not None:
        _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _take_over_gevent() -> None:
    """Have a dying greenlet logged like all else; gevent would print its arguments and traceback as they are."""
    hub = sys.modules.get("gevent.hub")
    if hub is None:
        return

    def print_exception(_hub: Any, _context: Any, kind: Any, error: Any, trace: Any) -> None:
        logging.getLogger("gevent").error("a greenlet died", exc_info=(kind, error, trace))

    hub.Hub.print_exception = print_exception
