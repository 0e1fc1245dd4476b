"""Asks questions that may hang (a frozen server) without hanging: for health and metrics."""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Any, TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)

_running: dict[Callable[[], Any], Future[Any]] = {}
_lock = threading.Lock()


def ask_all(questions: Mapping[str, Callable[[], T]], wait_s: float) -> dict[str, T]:
    """Ask side by side; give the answers that came in time. What raised or hangs is missing.

    Each question has a thread of its own (a greenlet under gevent). A question is the function
    itself, kept by the caller: one that still hangs from an earlier time is joined and not asked
    again, so a frozen server costs one thread and not one each time.
    """
    asked = {name: _ask(name, question) for name, question in questions.items()}
    wait(asked.values(), wait_s)
    return {name: future.result() for name, future in asked.items() if future.done() and not future.exception()}


def _ask(name: str, question: Callable[[], T]) -> Future[T]:
    with _lock:
        known = _running.get(question)
        if known is None:
            known = _running[question] = Future()
            threading.Thread(target=_answer, args=(name, question, known), daemon=True).start()
        return known


def _answer(name: str, question: Callable[[], T], future: Future[T]) -> None:
    try:
        answer = question()
    except Exception as error:  # noqa: BLE001  # whatever breaks, it is the question that failed
        log.warning("a question about health broke", extra={"question": name, "cause": type(error).__name__})
        _forget(question)
        future.set_exception(error)
    else:
        _forget(question)
        future.set_result(answer)


def _forget(question: Callable[[], Any]) -> None:
    with _lock:
        _running.pop(question, None)
