"""Run the gateway as a benchmark target: own servers, one priced model, one limited key.

usage: serve.py PORT UPSTREAM_URL

The key's secret is `bench-key-0123456789abcdef`, the model `gpt-4o-mini`. Ends on SIGTERM.
"""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from deploy.local import embedded  # noqa: E402

SECRET = "bench-key-0123456789abcdef"


def main() -> None:
    port, upstream = int(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as folder:
        servers = [
            embedded.start_postgres(
                Path(folder) / "pg", embedded.free_port(), password="bench", extra=embedded.FAST_AND_UNSAFE
            ),
            embedded.start_valkey(Path(folder) / "valkey", embedded.free_port()),
        ]
        address = servers[0].url.split("@")[1]
        os.environ.update(
            HOST="127.0.0.1",
            PORT=str(port),
            METRICS_PORT=str(embedded.free_port()),
            WEB_WORKERS="1",
            GATEWAY_HOME=folder,
            DATABASE_OWNER_URL=servers[0].url,
            DATABASE_URL=f"postgresql://gateway_app:bench@{address}",
            DATABASE_INGEST_URL=f"postgresql://gateway_ingest:bench@{address}",
            REDIS_URL=servers[1].url,
            SECRET_KEY=secrets.token_hex(32),
        )
        seed(upstream)
        children = [
            subprocess.Popen([sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "wsgi:app"], cwd=ROOT),
            subprocess.Popen([sys.executable, "worker.py"], cwd=ROOT),
        ]
        try:
            signal.pause()
        except SystemExit:
            for child in children:
                child.terminate()
            for child in children:
                child.wait()
            for server in servers:
                server.stop()


def seed(upstream: str) -> None:
    """Make the schema and what a call needs."""
    from flask_migrate import upgrade

    from app import create_app
    from app.application import applications, keys
    from app.model import models, price_book
    from app.provider import providers
    from app.units import PLATFORM_ID, utc_now
    from app.workspace import workspaces

    with create_app().app_context():
        upgrade()
        provider = providers.save(PLATFORM_ID, "mock", kind="openai", base_url=upstream, api_key="sk-upstream")
        model = models.save(
            PLATFORM_ID, "gpt-4o-mini", [models.Deployment(provider_id=provider, upstream_model="gpt-4o-mini")]
        )
        price_book.set_prices(PLATFORM_ID, model, {"input": Decimal("0.15"), "output": Decimal("0.60")}, now=utc_now())
        workspace = workspaces.create("bench")
        application = applications.create(workspace, "bench")
        limits = keys.Limits(requests_per_min=100_000_000)
        keys.create(workspace, application, "bench", models=["gpt-4o-mini"], secret=SECRET, limits=limits)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    main()
