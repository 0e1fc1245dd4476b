"""What one gunicorn worker holds for the line: its Redis connection, its knowledge, its open calls."""

from dataclasses import dataclass

import gevent

from app.auth.signing_keys import SigningKeys
from app.config import Settings
from app.crypto import Vault
from app.gateway.intents import SCRIPTS
from app.gateway.open_calls import OpenCalls
from app.gateway.pipe import Pipe
from app.gateway.refusals import SCRIPT, Refusals
from app.gateway.resend import Resender
from app.gateway.snapshot import AppContext, Known, Refresher
from app.gateway.spool import Spool
from app.gateway.tokens import Tokens

SETTLE_LIMIT_S = 8.0


@dataclass(slots=True)
class Process:
    """The parts that live as long as the worker."""

    vault: Vault
    pipe: Pipe
    refresher: Refresher
    open_calls: OpenCalls
    tokens: Tokens
    spool: Spool
    refusals: Refusals
    stream_limit: int
    draining: bool = False

    @property
    def known(self) -> Known:
        """Keys and models as of the last refresh."""
        return self.refresher.known

    @property
    def is_ready(self) -> bool:
        """Whether calls can be served: something is known and the process is not being stopped."""
        return self.refresher.is_loaded and not self.draining

    def drain(self) -> None:
        """Take no new traffic; open calls may go on up to a limit."""
        self.draining = True
        self.open_calls.start_draining()

    def finish(self) -> int:
        """Wait for Redis to acknowledge what was settled, and leave the rest on disk; return how many have neither."""
        self.refusals.close()
        missing = self.pipe.close(SETTLE_LIMIT_S) + self.spool.close()
        self.open_calls.publish()
        return missing


def start(settings: Settings, vault: Vault, app_context: AppContext) -> Process:
    """Start the greenlets of this worker; call once, in the worker, not in its parent."""
    pipe = Pipe(settings.redis_url, SCRIPTS | SCRIPT)
    refresher = Refresher(app_context, pipe, vault)
    spool, limit = Spool(settings.home / "spool"), settings.stream_limit
    open_calls, tokens = OpenCalls(pipe, spool), Tokens(refresher, SigningKeys(settings.ca_file))
    refusals = Refusals(pipe, limit)
    process = Process(vault, pipe, refresher, open_calls, tokens, spool, refusals, limit)
    spool.open()
    pipe.start()
    gevent.spawn(spool.run)
    gevent.spawn(Resender(pipe, spool, open_calls, limit).run)
    gevent.spawn(refusals.run)
    gevent.spawn(process.refresher.run)
    gevent.spawn(process.open_calls.watch)
    return process
