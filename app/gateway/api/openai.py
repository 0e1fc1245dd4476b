"""OpenAI's face: chat completions and the list of models."""

from flask import Blueprint, Response, jsonify

from app import hosts
from app.errors import ModelNotFound
from app.gateway import authenticate, pipeline
from app.gateway.api import mount
from app.model.catalogue import Alias

blueprint = Blueprint("openai", __name__)


@blueprint.post("/chat/completions")
def chat_completions() -> Response:
    """Answer a chat request, whole or as a stream."""
    return mount.response(pipeline.serve(mount.process(), mount.inbound()))


@blueprint.get("/models")
def list_models() -> Response:
    """List the models that the calling key may use."""
    return jsonify(object="list", data=[_model(alias) for alias in _usable()])


@blueprint.get("/models/<path:name>")
def get_model(name: str) -> Response:
    """Describe one model; names may hold slashes."""
    found = next((alias for alias in _usable() if alias.name == name), None)
    if found is None:
        raise ModelNotFound(f"The model {name[:200]!r} does not exist, or this key may not use it.", param="model")
    return jsonify(_model(found))


def _usable() -> list[Alias]:
    running = mount.process()
    caller = authenticate.caller_of(running, mount.token(), hosts.client_address)
    return [alias for alias in running.known.models.all_of(caller.workspace_id) if caller.may_use(alias.name)]


def _model(alias: Alias) -> dict[str, object]:
    return {"id": alias.name, "object": "model", "created": alias.created, "owned_by": "gateway"}
