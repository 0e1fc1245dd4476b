"""`/healthz`, `/readyz` and `/metrics`: for load balancers and Prometheus, without credentials.

Whoever asks learns whether the process lives and may get traffic, and nothing about addresses,
versions or models. Metrics are only answered on the `METRICS_PORT` socket.
"""

from functools import partial

from flask import Blueprint, Flask, Response, current_app, jsonify, request
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import text

from app import extensions
from app.billing import partitions, rejects
from app.errors import RouteNotFound
from app.logging import alert_figures, backlog, node, rating_figures, readiness, scrape

blueprint = Blueprint("health", __name__)


def register(app: Flask) -> None:
    """Mount the three routes and keep the questions they ask of this app's servers."""
    app.extensions["health_database"] = partial(_database_reachable, app)
    with app.app_context():
        app.extensions["health_readings"] = {
            "node": partial(node.read, extensions.settings().home),
            "redis": partial(backlog.read, extensions.redis()),
            "alerts": partial(alert_figures.read, extensions.redis()),
            "checks": partial(rating_figures.read, extensions.redis()),
            "jobs": partial(backlog.jobs, extensions.queue()),
            "database": partial(_database_reading, app),
        }
    app.register_blueprint(blueprint)


@blueprint.get("/healthz")
def alive() -> Response:
    """Say that the process answers; touches nothing else."""
    return _fresh(jsonify(status="ok"))


@blueprint.get("/readyz")
def ready() -> tuple[Response, int]:
    """Say whether this process may get traffic, by its role; answers within a second whatever hangs."""
    reasons = readiness.failing(_checks())
    if reasons:
        return _fresh(jsonify(status="not_ready", reasons=reasons)), 503
    return _fresh(jsonify(status="ready")), 200


@blueprint.get("/metrics")
def show_metrics() -> tuple[Response, int]:
    """Write the metrics of this node for Prometheus; anywhere but on METRICS_PORT there is no such page."""
    if not _on_metrics_port():
        return jsonify(error=_not_found()), RouteNotFound.status
    page = scrape.render(current_app.extensions["health_readings"])
    return _fresh(Response(page, content_type=scrape.CONTENT_TYPE)), 200


def _checks() -> dict[str, readiness.Check]:
    """A proxy needs its catalogue and nothing else; only a console without the proxy needs the database."""
    checks = readiness.declared()
    if extensions.settings().role == "console":
        return checks | {readiness.DATABASE: current_app.extensions["health_database"]}
    checks.setdefault(readiness.STARTING, _not_yet)
    return checks


def _not_yet() -> bool:
    """Stand for the gateway's check until the gateway declares it."""
    return False


def _on_metrics_port() -> bool:
    """Compare the port that this request came in on, as the server's socket tells it, not the Host header."""
    listener = request.environ.get("gunicorn.socket")
    address = listener.getsockname() if listener else None
    port = extensions.settings().metrics_port
    return bool(port) and isinstance(address, tuple) and address[1] == port


def _database_reachable(app: Flask) -> bool:
    with app.app_context(), extensions.db.engine.connect() as connection:
        return bool(connection.execute(text("select true")).scalar())


def _database_reading(app: Flask) -> list[Metric]:
    with app.app_context(), extensions.db.engine.connect() as connection:
        sizes = connection.execute(text(partitions.DEFAULT_SIZES)).all()
        rejected = connection.execute(text(rejects.COUNT)).scalar_one()
    strays = GaugeMetricFamily(
        "gateway_default_partition_bytes",
        "Rows whose month has no partition; anything but 0 needs an operator.",
        labels=["table"],
    )
    for name, size in sizes:
        strays.add_metric([name.removesuffix("_default")], size)
    return [
        GaugeMetricFamily("gateway_database_up", "1 when the database answers.", 1),
        GaugeMetricFamily("gateway_ingest_rejected_events", "Events set aside: they could not be billed.", rejected),
        strays,
    ]


def _not_found() -> dict[str, str | None]:
    return {
        "message": "There is no such route.",
        "type": "invalid_request_error",
        "param": None,
        "code": RouteNotFound.code,
    }


def _fresh(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
