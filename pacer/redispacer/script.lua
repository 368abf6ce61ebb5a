-- Reserves starts for callers, on the server's clock. One call decides for
-- several callers in turn; nothing in it is approximate or asks to be polled.
--
-- All state is one string: a header of decimal fields, then a ring of the last
-- starts, each WHEN wide plus a SERIAL. Times are microseconds, exact as Lua
-- numbers until the year 2255. Each limit looks back by its own number of calls;
-- that and a write of the new start cost the same for a limit of 5 or of a million.
--
-- KEYS[1]   the state
-- ARGV      n, then n times: calls, period, grid interval (0 = not even)
--           pause: no start before that from now
--           known epoch (0 = none), the time of the last start given out then, and the
--           newest start known, counted from now
--           n, then n serials of starts to give back, newest first
--           a budget for each caller: the wait it can bear, -1 = any
-- returns   epoch (0 = no state), now, end of the pause (0 = none), starts given back,
--           then for each caller: the wait, and the start's serial or -1 for a refusal

local WHEN, SERIAL, FIELDS, LIMIT_FIELDS = 16, 6, 12, 8 * 2
local ENTRY, HEADER = WHEN + SERIAL, WHEN * (FIELDS + LIMIT_FIELDS)
local SERIALS = 10 ^ SERIAL
local SLACK = 1024        -- starts kept beyond the limits' need, so that as many can be given back exactly
local MARGIN = 2000000    -- state outlives what is known of it by that, so that nobody takes an expiry for a loss
local UNHEARD = 100000    -- how long others may go on with starts of a state that was lost, not having heard
local MAX_HOLD = 5000000  -- longest standstill after a loss
local LAST = 9e15         -- no start later than this, in 2255: it has to fit in WHEN and in a Lua number

local key = KEYS[1]
local taken = 0
local function arg()
  taken = taken + 1
  return tonumber(ARGV[taken])
end

local limits, calls, span = {}, 0, 0
for i = 1, arg() do
  local l = {calls = arg(), period = arg(), interval = arg(), slot = 0, opens = 0}
  limits[i] = l
  calls, span = math.max(calls, l.calls), math.max(span, l.period)
end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local header = redis.call('GETRANGE', key, 0, HEADER - 1)
local function field(i) return tonumber(string.sub(header, (i - 1) * WHEN + 1, i * WHEN)) end

local s
if header == '' then
  s = {epoch = now, ring = calls + SLACK, count = 0, serial = 0, seen = 0, skew = 0, resumes = 0, lost = 0, span = 0,
    top = 0, keep = 0}
elseif #header ~= HEADER or field(1) ~= 1 then
  return redis.error_reply('ERR the key holds something else than the state of a redispacer')
else
  s = {epoch = field(2), ring = field(3), count = field(4), serial = field(5), seen = field(6),
    skew = field(7), resumes = field(8), lost = field(9), span = field(10), top = field(11), keep = field(12)}
end
local changed = false

-- The server's clock may be set back, or another server's take its place. Windows
-- are kept on a clock that then goes on from where it was.
if now + s.skew < s.seen then s.skew = s.seen - now end
now = now + s.skew
local changed_at = s.seen
s.seen = now
s.span = math.max(s.span, span)

local function offset(i) return HEADER + i % s.ring * ENTRY end
local function start(i) return tonumber(redis.call('GETRANGE', key, offset(i), offset(i) + WHEN - 1)) end
local function newest_serial() return tonumber(redis.call('GETRANGE', key, offset(s.count - 1) + WHEN, offset(s.count - 1) + ENTRY - 1)) end

local newest = s.count > 0 and start(s.count - 1) or 0

-- Grids belong to limits; where the limits are others than before they begin anew.
for i, l in ipairs(limits) do
  if l.interval > 0 then
    l.slot = newest + l.interval
    if header ~= '' and field(FIELDS + 2 * i) == l.interval then l.slot = field(FIELDS + 2 * i - 1) end
  end
end

local function encode_header()
  local f = {1, s.epoch, s.ring, s.count, s.serial, s.seen, s.skew, s.resumes, s.lost, s.span, s.top, s.keep}
  for i = 1, LIMIT_FIELDS / 2 do
    local l = limits[i] or {slot = 0, interval = 0}
    f[#f + 1], f[#f + 2] = l.slot, l.interval
  end
  return string.format(string.rep('%016.0f', #f), unpack(f))
end

-- Another configuration counts further back: the ring is laid out anew, once and in
-- a single write, so that no error can leave half of it.
if s.ring < calls + SLACK then
  local kept = math.max(0, math.min(s.count, s.count - s.top + s.ring)) -- the rest is overwritten
  local oldest = (s.count - kept) % s.ring
  local tail = math.min(kept, s.ring - oldest)
  local starts = ''
  if tail > 0 then starts = redis.call('GETRANGE', key, HEADER + oldest * ENTRY, HEADER + (oldest + tail) * ENTRY - 1) end
  if kept > tail then starts = starts .. redis.call('GETRANGE', key, HEADER, HEADER + (kept - tail) * ENTRY - 1) end
  s.count, s.top, s.ring = kept, kept, calls + SLACK
  redis.call('SETRANGE', key, 0, encode_header() .. starts)
  changed = true
end

local pause, known, given, ahead = arg(), arg(), arg(), arg()
if pause > 0 and now + pause > s.resumes then
  s.resumes = now + pause
  changed = true
end

-- A caller knows of state that cannot have expired, and it is gone or older than that:
-- the starts of the last windows are unknown. Stand still until they have passed, be
-- they as late as the newest known; then go evenly for a window.
local gone = known < s.epoch and s.lost == 0
local older = known > s.epoch or known == s.epoch and given > changed_at
if known > 0 and (gone or older) then
  if given >= now then -- another server's clock, which is behind
    s.skew = s.skew + given + 1 - now
    now = given + 1
  end
  s.epoch, s.seen = now, now
  s.lost = now + math.min(math.max(ahead, 0) + s.span + UNHEARD, MAX_HOLD)
  changed = true
end

-- Starts given back have overwritten the oldest ones. With more than SLACK of them those
-- that limits look back on would be among these.
local returned = 0
for i = 1, arg() do
  local serial = arg()
  if returned == i - 1 and known == s.epoch and s.count > math.max(0, s.top - SLACK) and newest_serial() == serial then
    s.count = s.count - 1
    newest = s.count > 0 and start(s.count - 1) or 0
    for _, l in ipairs(limits) do l.slot = math.max(0, l.slot - l.interval) end
    returned = returned + 1
    changed = true
  end
end

local function due()
  local at = math.max(now, s.resumes, s.lost, newest)
  for _, l in ipairs(limits) do
    l.opens = s.count >= l.calls and start(s.count - l.calls) + l.period or 0
    at = math.max(at, l.opens, l.slot)
  end
  for _, l in ipairs(limits) do
    if at < s.lost + l.period and newest > 0 then at = math.max(at, newest + math.floor(l.period / l.calls)) end
  end
  return at
end

local function record(at)
  redis.call('SETRANGE', key, offset(s.count), string.format('%016.0f%06.0f', at, s.serial % SERIALS))
  s.count, s.serial, newest = s.count + 1, s.serial + 1, at
  s.top = math.max(s.top, s.count)
  for _, l in ipairs(limits) do
    if l.interval > 0 then
      local slot = math.max(l.slot, l.opens)
      if at >= slot + l.interval then slot = at end -- idle: missed slots are not made up for
      l.slot = slot + l.interval
    end
  end
  changed = true
end

local answers = {}
for _ = taken + 1, #ARGV do
  local budget, at = arg(), due()
  answers[#answers + 1] = at - now
  if budget >= 0 and at - now >= budget or at > LAST then
    answers[#answers + 1] = -1
  else
    answers[#answers + 1] = s.serial % SERIALS
    record(at)
  end
end

if changed then
  -- Never sooner than before: a caller may know of starts that others gave back.
  s.keep = math.max(s.keep, math.max(now, newest, s.resumes, s.lost) + 2 * s.span + MARGIN)
  redis.call('SETRANGE', key, 0, encode_header())
  redis.call('PEXPIRE', key, math.ceil((s.keep - now) / 1000))
elseif header == '' then
  s.epoch = 0
end
return {s.epoch, now, s.resumes > now and s.resumes or 0, returned, unpack(answers)}
