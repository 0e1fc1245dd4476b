"""Step 2: read the body, once. What is read here is what is sent on; unknown members are kept."""

from typing import Any

import msgspec

from app.auth.callers import Caller
from app.errors import BadRequest, ModelNotAllowed, ModelNotFound
from app.gateway.call import Call, Inbound
from app.gateway.process import Process
from app.units import new_id
from app.wire.clients import openai_chat

_decode = msgspec.json.Decoder().decode


def chat(process: Process, inbound: Inbound, caller: Caller) -> Call:
    """Read a chat request; raise `BadRequest` naming the member, or `ModelNotFound`."""
    body = _object(inbound.read())
    name, messages = body.get("model"), body.get("messages")
    if not isinstance(name, str) or not name:
        raise BadRequest("'model' must be the name of a model.", param="model")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise BadRequest("'messages' must be a list of at least one message.", param="messages")
    stream, options = body.get("stream"), body.get("stream_options")
    if stream is not None and not isinstance(stream, bool):
        raise BadRequest("'stream' must be true or false.", param="stream")
    if options is not None and not isinstance(options, dict):
        raise BadRequest("'stream_options' must be an object.", param="stream_options")
    may_use = caller.may_use(name)
    alias = process.known.models.find(caller.workspace_id, name) if may_use else None
    if alias is None:
        kind = ModelNotFound if may_use else ModelNotAllowed
        raise kind(f"The model {name[:200]!r} does not exist, or this key may not use it.", param="model")
    event_id = new_id()
    return Call(
        event_id=event_id,
        id_text=str(event_id),
        inbound=inbound,
        caller=caller,
        alias=alias,
        body=body,
        stream=bool(stream),
        wants_usage=bool(options and options.get("include_usage")),
        prompt_bytes=openai_chat.text_bytes(messages),
    )


def _object(raw: bytes) -> dict[str, Any]:
    if not raw:
        raise BadRequest("The body is empty. Send a JSON object.")
    try:
        body = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"The body is not valid JSON: {str(error)[:120]}.") from error
    except RecursionError as error:
        raise BadRequest("The body is nested too deeply.") from error
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    return body
