"""The scripts that admit and settle a call in Redis, and the sweeper for calls that died.

Admission leaves an *intent*: a member of the bucket's `{bNN}:intents` (score: end of its lease in
ms) and a hash `{bNN}:intent:<event id>` whose field `event` is a ready provisional usage event.
Settlement takes both away and appends the final event. A process renews the leases of its calls;
when it dies they run out, and the sweeper appends the provisional event in its place. So a
killed process loses nothing and blocks nobody.
"""

from typing import Any, Protocol

from app.billing.events import stream_key
from app.units import BUCKETS, bucket_tag

LEASE_MS = 45_000
RENEW_EVERY_S = 15.0
DONE_MARK_S = 600
SWEEP_AT_ONCE = 200

ADMIT = """
-- KEYS: intents, intent, one for each limit. ARGV: event id, lease ms, provisional event,
-- number of limits, then for each limit: kind, limit, period ms, amount.
-- Replies {1 or 0, index of the refusing limit, then for each limit: remaining, reset ms, retry ms}.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local again = redis.call('EXISTS', KEYS[2]) == 1
local count = tonumber(ARGV[4])
local reply, charges, refused = {1, 0}, {}, 0
for i = 1, count do
  local at = 4 + (i - 1) * 4
  local limit, period, amount = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]) * 1000, tonumber(ARGV[at + 4])
  local remaining, reset, retry = 0, 0, -1
  if limit > 0 then
    -- GCRA with a burst of the whole limit: `full` is when the bucket would be full again.
    local interval = period / limit
    local full = math.max(now, tonumber(redis.call('GET', KEYS[2 + i]) or 0))
    local charged = again and full or full + interval * amount
    if charged - now > period then
      if refused == 0 then refused = i end
      reset, retry = full - now, charged - period - now
    else
      remaining, reset, retry = math.floor((period - (charged - now)) / interval + 0.000001), charged - now, 0
      charges[i] = charged
    end
  elseif refused == 0 and not again then
    refused = i
  end
  reply[#reply + 1] = remaining
  reply[#reply + 1] = math.ceil(reset / 1000)
  reply[#reply + 1] = retry < 0 and -1 or math.ceil(retry / 1000)
end
if refused > 0 and not again then
  reply[1], reply[2] = 0, refused
  return reply
end
if not again then
  for i, charged in pairs(charges) do
    redis.call('SET', KEYS[2 + i], string.format('%.0f', charged), 'PX', math.max(1, math.ceil((charged - now) / 1000)))
  end
  redis.call('HSET', KEYS[2], 'event', ARGV[3])
  redis.call('ZADD', KEYS[1], math.floor(now / 1000) + tonumber(ARGV[2]), ARGV[1])
end
return reply
"""

SETTLE = """
-- KEYS: intents, intent, done mark, usage stream. ARGV: event id, final event or '' for none, seconds of the mark,
-- how many events the stream may hold (0 or none: any number). Replies 1; 0 for a double; 2 when the stream is full:
-- the call is let go, and its event stays with the one who sent it.
if not redis.call('SET', KEYS[3], '1', 'NX', 'EX', ARGV[3]) then return 0 end
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[1], ARGV[1])
if ARGV[2] ~= '' then
  local most = tonumber(ARGV[4] or 0)
  if most > 0 and redis.call('XLEN', KEYS[4]) >= most then
    redis.call('DEL', KEYS[3])
    return 2
  end
  redis.call('XADD', KEYS[4], '*', 'e', ARGV[2])
end
return 1
"""

RESEND = """
-- KEYS: intents, usage stream. ARGV: tag, seconds of the mark, how many events the stream may hold, 1 to send what is
-- marked as well, then id and event of each. Replies how many were looked at before the stream was full.
local most = tonumber(ARGV[3])
local room = most > 0 and most - redis.call('XLEN', KEYS[2]) or #ARGV
for i = 5, #ARGV, 2 do
  if room <= 0 then return (i - 5) / 2 end
  local fresh = redis.call('SET', ARGV[1] .. ':done:' .. ARGV[i], '1', 'NX', 'EX', ARGV[2])
  if fresh or ARGV[4] == '1' then
    redis.call('DEL', ARGV[1] .. ':intent:' .. ARGV[i])
    redis.call('ZREM', KEYS[1], ARGV[i])
    redis.call('XADD', KEYS[2], '*', 'e', ARGV[i + 1])
    room = room - 1
  end
end
return (#ARGV - 4) / 2
"""

GENERATION = """
-- KEYS: the generation key. ARGV: a name for a Redis that has none yet. Replies its name.
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])
"""

RENEW = """
-- KEYS: intents. ARGV: lease ms, event ids. An intent that was swept stays swept.
local time = redis.call('TIME')
local lease_end = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], 'XX', lease_end, ARGV[i]) end
return 1
"""

SWEEP = """
-- KEYS: intents, usage stream. ARGV: prefix of the intent hashes, how many at once.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ended = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])
local written = 0
for _, id in ipairs(ended) do
  local event = redis.call('HGET', ARGV[1] .. id, 'event')
  if event then
    redis.call('XADD', KEYS[2], '*', 'e', event)
    written = written + 1
  end
  redis.call('DEL', ARGV[1] .. id)
  redis.call('ZREM', KEYS[1], id)
end
return {#ended, written}
"""

SCRIPTS = {"admit": ADMIT, "settle": SETTLE, "renew": RENEW, "resend": RESEND, "generation": GENERATION}
"""What the line's connection loads."""


class Redis(Protocol):
    """What the sweeper needs of a Redis client."""

    def eval(self, script: str, numkeys: int, *keys_and_args: Any) -> Any:
        """Run a script."""


def intents_key(tag: str) -> str:
    """Name the sorted set of a bucket's open calls."""
    return f"{tag}:intents"


def intent_key(tag: str, event_id: str) -> str:
    """Name the hash of one open call."""
    return f"{tag}:intent:{event_id}"


def settle_keys(tag: str, event_id: str) -> tuple[str, str, str, str]:
    """Name what settlement touches; its mark that a call is settled lives `DONE_MARK_S` seconds."""
    return intents_key(tag), intent_key(tag, event_id), f"{tag}:done:{event_id}", stream_key(tag)


def sweep(redis: Redis) -> int:
    """Append the provisional events of calls whose lease ran out, in every bucket; return how many."""
    written = 0
    for bucket in range(BUCKETS):
        tag = bucket_tag(bucket)
        found = SWEEP_AT_ONCE
        while found == SWEEP_AT_ONCE:
            keys = (intents_key(tag), stream_key(tag))
            found, fresh = redis.eval(SWEEP, 2, *keys, f"{tag}:intent:", SWEEP_AT_ONCE)
            written += fresh
    return written
