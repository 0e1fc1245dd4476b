"""`script/server` as people run it: a copy of the repository, an environment, a process."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

from deploy.local import embedded
from tests.gateway_process import ROOT, eventually

NOT_COPIED = (".venv", ".git", "var", "node_modules", "__pycache__", ".*_cache")
READY = "LLM Gateway is ready"
NOBODY = {"user": 65534, "group": 65534, "extra_groups": []}


def clone_into(folder: Path) -> Path:
    """Copy the repository; the packages are those that the tests run with."""
    clone = folder / "clone"
    shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(*NOT_COPIED))
    (clone / ".venv").symlink_to(sys.prefix)
    return clone


class Installation:
    """One home and what is started on it, again and again."""

    def __init__(self, clone: Path, folder: Path, **environment: str) -> None:
        self.clone, self.folder, self.home = clone, folder, folder / "home"
        self.port = embedded.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "WEB_WORKERS": "1"}
        self.environment |= {"GATEWAY_HOME": str(self.home), "PORT": str(self.port)} | environment
        self.options: dict[str, object] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def run(self) -> subprocess.Popen[bytes]:
        """Start `script/server` from a folder that is not the clone, its output to a fresh file."""
        with (self.folder / "output").open("wb") as output:
            self.process = subprocess.Popen(
                [self.clone / "script/server"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **self.options,
            )
        return self.process

    def start(self) -> float:
        """Start it and wait for the banner; answer how long that took, in seconds."""
        began = time.monotonic()
        process = self.run()
        eventually(lambda: READY in self.output() or process.poll() is not None, 90)
        assert process.poll() is None, self.output()
        return time.monotonic() - began

    def flask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `script/flask` beside it, until it ends."""
        command, options = [self.clone / "script/flask", *arguments], {"capture_output": True, "text": True}
        return subprocess.run(command, cwd=self.folder, env=self.environment, timeout=60, check=False, **options)

    def refusal(self) -> str:
        """Start it where it cannot start; answer what it said."""
        assert self.run().wait(60) == 1, self.output()
        return self.output()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; answer its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    def output(self) -> str:
        return (self.folder / "output").read_text()

    def banner(self) -> str:
        """What it said to people, without the log."""
        return "\n".join(line for line in self.output().splitlines() if not line.startswith("{"))

    def curl(self) -> str:
        """The banner's command."""
        return re.search(r"^  (curl .*)$", self.banner(), re.MULTILINE)[1]

    def says_hello(self) -> bool:
        """Whether the first run's key gets an answer from the echo model."""
        key = re.search(r"API key: +(\S+)", (self.home / "first-run.txt").read_text())[1]
        body = {"model": "echo", "messages": [{"role": "user", "content": "Hello"}]}
        headers = {"Authorization": f"Bearer {key}"}
        try:
            answer = httpx.post(f"{self.url}/v1/chat/completions", json=body, headers=headers, trust_env=False)
        except httpx.TransportError:
            return False
        return answer.status_code == 200 and answer.json()["choices"][0]["message"]["content"] == "Hello"

    def child(self, words: str) -> psutil.Process:
        """The child of the running `script/server` whose command line has these words."""
        assert self.process is not None
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if words in " ".join(child.cmdline()))

    def processes(self) -> list[str]:
        """Every process that belongs to this home: it has the home's lock open, or was started with it."""
        return [describe(pid) for pid in psutil.pids() if self._owns(pid)]

    def _owns(self, pid: int) -> bool:
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            opened = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            return False
        return os.fsencode(f"GATEWAY_HOME={self.home}\0") in environment or str(self.home / "lock") in opened


def describe(pid: int) -> str:
    try:
        return f"{pid} {' '.join(psutil.Process(pid).cmdline())}"
    except psutil.NoSuchProcess:
        return f"{pid} (gone)"
