"""The worker: `python worker.py`. Its loop and its children are in `app/worker/`; any number of workers may run.

`worker.py --jobs PARENT QUEUE` is one of the children, which the loop starts itself.
"""

import logging
import sys
from pathlib import Path

from app.config import InvalidSettings, Settings
from app.logging import process_log
from app.worker.children import FLAG, take_jobs
from app.worker.loop import Loop

log = logging.getLogger("worker")


def main(arguments: list[str]) -> int:
    """Run the loop, or a child; 0 after an ordinary stop, 1 when the settings are wrong."""
    process_log.configure()
    try:
        settings = Settings.read()
    except InvalidSettings as problems:
        log.critical("%s", problems)
        return 1
    if arguments[:1] == [FLAG]:
        take_jobs(int(arguments[1]), arguments[2])
    else:
        Loop(settings, Path(__file__).absolute()).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
