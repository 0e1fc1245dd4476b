"""What is done at the same time as something else."""

import threading
from collections.abc import Callable
from typing import Any

from flask import Flask

from app.workspace.names import Invalid


class Beside(threading.Thread):
    """Something done on connections of its own; `found` is what it answered or raised."""

    def __init__(self, app: Flask, act: Callable[[], Any]) -> None:
        super().__init__()
        self.app, self.act = app, act
        self.found: Any = None
        self.start()

    def run(self) -> None:
        with self.app.app_context():
            try:
                self.found = self.act()
            except Invalid as refused:
                self.found = refused

    def end(self) -> Any:
        self.join(60)
        assert not self.is_alive()
        return self.found
