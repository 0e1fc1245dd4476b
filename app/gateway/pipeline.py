"""One proxied request, step by step. Read this file first.

    authenticate → parse → spending → admit → route → (translate → send) per target → stream → meter → settle

Each step is a module of its name. A step that refuses raises; `serve` lets that pass to the face,
which says it in its dialect; the refusal is counted. After admission a call is settled exactly once: when the answer is
closed, or here when there will be none.
"""

import logging

from app import errors
from app.gateway import admit, authenticate, headers, meter, parse, route, send, settle, spending, stream
from app.gateway.call import Answer, Call, Inbound
from app.gateway.process import Process
from app.units import utc_now

log = logging.getLogger(__name__)


def serve(process: Process, inbound: Inbound) -> Answer:
    """Serve one chat request; raise a `GatewayError` when there is no answer to hand on."""
    caller = None
    try:
        caller = authenticate.caller_of(process, inbound.token, inbound.client_address)
        call = parse.chat(process, inbound, caller)
        if caller.acting:
            spending.check(process, call, utc_now())
        targets = route.plan(call)
        admit.check(process, call, targets[0])
    except Exception as error:
        process.refusals.count(error, caller, utc_now())
        raise
    try:
        answer = _answer(call, send.attempt(call, targets[0]))
    except errors.GatewayError as error:
        raise _ended(process, call, error) from error
    except Exception as error:
        log.exception("a call failed inside the gateway", extra={"request_id": call.id_text})
        raise _ended(
            process, call, errors.Bug("The gateway failed. The operator finds the cause in its log.")
        ) from error
    answer.close = lambda: settle.once(process, call)
    return answer


def _answer(call: Call, result: bytes | stream.Flow) -> Answer:
    call.status = 200
    if isinstance(result, bytes):
        call.cost_usd = meter.cost_of(call)
        return Answer(200, headers.of_answer(call), result)
    return Answer(200, headers.of_stream(call), iter(result))


def _ended(process: Process, call: Call, error: errors.GatewayError) -> errors.GatewayError:
    """Settle a call that has no answer; the error knows whose request it belongs to."""
    call.outcome = stream.outcome_of(error)
    call.error_code = error.code
    call.status = error.http_status
    settle.once(process, call)
    error.call_headers = headers.of_failure(call)
    return error
