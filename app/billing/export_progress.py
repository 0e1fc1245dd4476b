"""How far an export is: told to people while its file is made, and what people want of it meanwhile."""

import time
from typing import Any
from uuid import UUID

import psycopg

from app.billing import jobs

TELL_EVERY_S = 0.5

_TELL = "update export_job set rows_done = %s where export_id = %s and state = 'running'"
_COUNTED = "update export_job set rows_total = %s where export_id = %s"


class Cancelled(Exception):
    """Somebody has cancelled the export."""


class Stopped(Exception):
    """The worker is being stopped; the export waits for its next start."""


class Progress:
    """Tells people how far an export is, twice a second, and hears from them whether it is still wanted."""

    def __init__(self, control: psycopg.Connection[Any], export_id: UUID) -> None:
        self._control, self._export_id, self._due_s = control, export_id, 0.0

    def tell(self, rows: int) -> None:
        """Say how many rows are written; raise `Cancelled`, and `Stopped` at once when the worker is."""
        if jobs.stopping():
            raise Stopped
        if time.monotonic() < self._due_s:
            return
        self._due_s = time.monotonic() + TELL_EVERY_S
        if not self._control.execute(_TELL, [rows, self._export_id]).rowcount:
            raise Cancelled

    def counted(self, rows: int) -> None:
        """Say how many there are."""
        self._control.execute(_COUNTED, [rows, self._export_id])
        self._due_s = 0.0
        self.tell(0)
