"""The worker's loop: it looks at everything in turn and keeps nothing. What could not be done is done on a later turn."""

import signal
import time
from pathlib import Path
from types import FrameType

from app.billing.retention import Retention
from app.config import Settings
from app.extensions import LEDGER_QUEUE, LONG_QUEUE, connect_redis
from app.gateway import intents
from app.worker import children
from app.worker.alerts import Alerts
from app.worker.children import Child, open_queue
from app.worker.chores import TICK_S, Chore
from app.worker.database import Database
from app.worker.orders import Orders
from app.worker.upkeep import Upkeep


class Loop:
    """The main process: its chores, its children, and the courier's thread. `program` is what a child runs."""

    def __init__(self, settings: Settings, program: Path) -> None:
        self.redis = connect_redis(settings.redis_url)
        queues = connect_redis(settings.queue_redis_url or settings.redis_url)
        queue, long_queue = open_queue(queues), open_queue(queues, LONG_QUEUE)
        database = Database(settings.database_ingest_url)
        self.orders = Orders(self.redis, queue, long_queue, database, settings.home)
        self.upkeep = Upkeep(self.redis, database, Retention.of(settings))
        self.alerts = Alerts(settings, self.redis)
        self.children = [Child(program, LEDGER_QUEUE), Child(program, LONG_QUEUE)]
        self.chores = self._chores()
        self.stopping = False

    def run(self) -> None:
        """Go round until a signal says stop, then stop the children and the courier."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self.alerts.courier.start()
        while not self.stopping:
            for chore in self.chores:
                if not self.stopping:
                    chore.turn(time.monotonic())
            for child in self.children:
                child.keep(time.monotonic())
            time.sleep(TICK_S)
        children.stop(self.children)
        self.alerts.courier.stop(1.0)

    def _chores(self) -> list[Chore]:
        orders, upkeep = self.orders, self.upkeep
        return [
            Chore("taking usage into the ledger", TICK_S, orders.take_usage),
            Chore("writing the audit trail", TICK_S, orders.write_trail),
            Chore("the heartbeat", 5.0, upkeep.beat),
            Chore("repeating revisions", 1.0, upkeep.repeat_revisions),
            Chore("sweeping calls of dead processes", 5.0, lambda: intents.sweep(self.redis)),
            Chore("deleting old failed jobs", 5.0, orders.forget_failures),
            Chore("looking for changed time zones", 5.0, orders.look_at_zones),
            Chore("watching budgets", 5.0, self.alerts.watch_budgets),
            Chore("recomputing", 1.0, orders.go_on_rating),
            Chore("ordering nightly checks", 60.0, orders.order_checks),
            Chore("seeing to exports", 2.0, orders.see_to_exports),
            Chore("making partitions", 3600.0, upkeep.make_partitions),
            Chore("looking for rows without a partition", 60.0, upkeep.look_for_strays),
            Chore("deleting what is past its retention", 1.0, upkeep.forget),
        ]

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True
