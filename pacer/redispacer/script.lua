-- Reserves starts for the callers of one process, on the server's clock.
--
-- The record of starts is one string: a header of 8-byte numbers, then a ring of entries in order of
-- time, 8 bytes each: when a start happens, in microseconds, and a serial number that tells it
-- from others of that moment. Where starts cost something, 8 bytes for each unit follow. A
-- start that lies ahead is reserved for somebody.
--
-- Nothing is reserved further ahead than the horizon that a process asks with. Who has to wait
-- longer gets a place in line, in a string of its own, and is told when to ask again.
--
-- KEYS   the record, the line
-- ARGV   me: a number for the process
--        starts wanted, horizon
--        known epoch (0 = none), when the last start was given out then, and the newest start
--          known, counted from now
--        pause: no start before that from now, 0 = none; less: resume, then -1 less it; 1 if a
--          report asked for it
--        a number for all of the limits together
--        n, then n units that costs are counted in
--        n, then for each limit: kind, unit (0 = starts), amount, period, interval or rate, and
--          a number for it
--        n, then for each change: kind, time, serial, unit, amount
--        n, then for each quota that a server spoke of: a number for its name, time and serial of
--          the start that it answered, unit (-1 = unknown), how much is left, and until when from now
--        costs of each start wanted, by unit
-- returns epoch (0 = no record), now, end of the pause, told, resumes so far, starts given
--        back, when to ask again from now (0 = no need), for each limit when it has room from
--        now, then time and serial of each start
--
-- Durations and times are microseconds.

local MAGIC, FIELDS = 22006, 26
local SERIALS = 4096
local SLACK = 32          -- entries beyond the largest number of calls, so that as many can be given back exactly
local STEP = 65536        -- entries that a ring grows by at most, so that nobody is held up
local MOVED = 8192        -- entries that giving back a start may move
local LOOK = 16384        -- entries that a limit which is new here looks back at
local WALK = 8192         -- entries of a window that it is looked for when enough of their costs have left
local MARGIN = 2000000    -- the record outlives what is known of it by that, so that nobody takes an expiry for a loss
local UNHEARD = 100000    -- how long others may go on with starts of a record that was lost, not having heard
local MAX_HOLD = 5000000  -- longest standstill after a loss
local LAST = 4.5e15       -- no start later than this, in 2112: it has to fit into an entry
local MAX_MEMORY = 3.2e14 -- ten years: a bucket may take longer to fill
local POLL = 1000000      -- who waits asks again after that at the latest
local GRACE = 20000       -- how late one may ask, beside the horizon, and keep the place in line
local STAND_BY = 3        -- so many behind the first ask, one after the other, when that should have started
local MAX_LINE = 1024
local PATIENCE = 1000000  -- a probe that is silent for so long has worked
local MAX_QUOTAS = 16
local MOST_LEFT = 2 ^ 50  -- of a quota; as much may be lacking
local PARTS = 1048576     -- a bucket is kept in such parts of a unit
local WINDOW, EVEN, COST, BUCKET = 1, 2, 3, 4

local floor, ceil, min, max = math.floor, math.ceil, math.min, math.max
local record, line = KEYS[1], KEYS[2]
local taken = 0
local function arg()
  taken = taken + 1
  return tonumber(ARGV[taken])
end

local me, wanted, horizon = arg(), arg(), arg()
local known, given, ahead = arg(), arg(), arg()
local pause, told, ident = arg(), arg(), arg()
local units, limits = {}, {}
for i = 1, arg() do units[i] = arg() end
local calls, span, bytime, append = 0, 0, 0, false
for i = 1, arg() do
  local l = {kind = arg(), unit = arg(), amount = arg(), period = arg(), rate = arg(), id = arg()}
  limits[i] = l
  l.memory = l.period
  if l.kind == BUCKET then l.memory = min(ceil(l.amount * l.period / l.rate), MAX_MEMORY) end -- until it is full
  span = max(span, l.memory)
  if l.kind <= EVEN then calls = max(calls, l.amount) end
  if l.kind == COST then bytime = max(bytime, l.period) end
  append = append or l.kind == EVEN or l.kind == BUCKET -- these decide in order of time
end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- Numbers as bytes: by Redis's struct, or where there is none, as in servers that stand in for
-- Redis in tests, by hand.

local binary = rawget(_G, 'struct')
local pack, take = binary and binary.pack, binary and binary.unpack
if not binary then
  function pack(format, ...)
    local bytes, i = {}, 0
    for size in string.gmatch(format, 'I(%d)') do
      i = i + 1
      local n, one = select(i, ...), {}
      for b = tonumber(size), 1, -1 do
        one[b] = string.char(n % 256)
        n = floor(n / 256)
      end
      bytes[i] = table.concat(one)
    end
    return table.concat(bytes)
  end
  function take(format, bytes, at)
    local numbers = {}
    for size in string.gmatch(format, 'I(%d)') do
      local n = 0
      for b = at, at + size - 1 do n = n * 256 + string.byte(bytes, b) end
      numbers[#numbers + 1] = n
      at = at + size
    end
    return unpack(numbers)
  end
end

-- The header.

local header = redis.call('GETRANGE', record, 0, 4095)
local s, recs, frees, quotas = nil, {}, {}, {}
local changed = false

local function encode()
  local f = {MAGIC, s.room, s.epoch, s.seen, s.skew, s.resumes, s.told, s.resumed, s.lost, s.span, s.keep,
    s.ring, s.base, s.n, s.kept, s.cut, s.serial, s.calls, s.bytime,
    s.trial, s.prober, s.probed, #s.units, #recs, #frees, #quotas}
  for _, u in ipairs(s.units) do f[#f + 1], f[#f + 2], f[#f + 3], f[#f + 4] = u.id, u.born, u.pending, u.since end
  for _, r in ipairs(recs) do
    f[#f + 1], f[#f + 2], f[#f + 3], f[#f + 4], f[#f + 5], f[#f + 6] = r.id, r.upto + 1, r.x, r.y, r.z, r.w
  end
  for _, e in ipairs(frees) do f[#f + 1], f[#f + 2], f[#f + 3] = e.at, e.serial, e.ident end
  for _, q in ipairs(quotas) do
    f[#f + 1], f[#f + 2], f[#f + 3], f[#f + 4], f[#f + 5] = q.name, q.unit + 1, q.at, max(0, q.left + MOST_LEFT), q.till
  end
  return pack('>' .. string.rep('I8', #f), unpack(f)), #f
end

if header == '' then
  s = {room = FIELDS + 9, epoch = now, seen = 0, skew = 0, resumes = 0, told = 0, resumed = 0, lost = 0, span = 0,
    keep = 0, ring = min(calls + SLACK, 2 * SLACK), base = 0, n = 0, kept = 0, cut = 0, serial = 0, calls = 0, bytime = 0,
    trial = 0, prober = 0, probed = 0, units = {}}
else
  local f = #header >= 16 and {take('>I8I8', header, 1)} or {}
  if f[1] ~= MAGIC or #header < 8 * FIELDS then
    return redis.error_reply('ERR the key holds something else than the record of a redispacer')
  end
  f = {take('>' .. string.rep('I8', min(f[2], floor(#header / 8))), header, 1)}
  s = {room = f[2], epoch = f[3], seen = f[4], skew = f[5], resumes = f[6], told = f[7], resumed = f[8], lost = f[9],
    span = f[10], keep = f[11], ring = f[12], base = f[13], n = f[14], kept = f[15], cut = f[16], serial = f[17],
    calls = f[18], bytime = f[19], trial = f[20], prober = f[21], probed = f[22], units = {}}
  local at = FIELDS
  for i = 1, f[23] do
    s.units[i] = {id = f[at + 1], born = f[at + 2], pending = f[at + 3], since = f[at + 4]}
    at = at + 4
  end
  for i = 1, f[24] do
    recs[i] = {id = f[at + 1], upto = f[at + 2] - 1, x = f[at + 3], y = f[at + 4], z = f[at + 5], w = f[at + 6]}
    at = at + 6
  end
  for i = 1, f[25] do
    frees[i] = {at = f[at + 1], serial = f[at + 2], ident = f[at + 3]}
    at = at + 3
  end
  for i = 1, f[26] do
    quotas[i] = {name = f[at + 1], unit = f[at + 2] - 1, at = f[at + 3], left = f[at + 4] - MOST_LEFT, till = f[at + 5]}
    at = at + 5
  end
end

-- The server's clock may be set back, or another server's take its place. Windows are kept on
-- a clock that then goes on from where it was.
if now + s.skew < s.seen then s.skew, changed = s.seen - now, true end
now = now + s.skew
local changed_at = s.seen
s.seen = now
for i = #quotas, 1, -1 do
  if quotas[i].till <= now then table.remove(quotas, i) end
end
if s.trial == 1 and s.prober > 0 and s.probed <= now then s.trial = 0 end -- silence has worked
if header ~= '' and wanted > 0 and span > s.span then changed = true end -- it has to outlast who waits
s.span, s.calls, s.bytime = max(s.span, span), max(s.calls, calls), max(s.bytime, bytime)

-- The ring. Entries are numbered from 0, of which the last s.kept are there. No entry that is
-- not there is later than s.cut.

local size = 8 + 8 * #s.units
local memo = {}

local function span_of(i, m)
  local at = (i - s.base) % s.ring
  return 8 * s.room + at * size, min(m, s.ring - at)
end

local function read(i, m)
  if m <= 0 then return '' end
  local at, first = span_of(i, m)
  local got = redis.call('GETRANGE', record, at, at + first * size - 1)
  if m > first then got = got .. redis.call('GETRANGE', record, 8 * s.room, 8 * s.room + (m - first) * size - 1) end
  return got
end

local function write(i, bytes)
  local m = #bytes / size
  local at, first = span_of(i, m)
  redis.call('SETRANGE', record, at, string.sub(bytes, 1, first * size))
  if m > first then redis.call('SETRANGE', record, 8 * s.room, string.sub(bytes, first * size + 1)) end
  memo, changed = {}, true
end

local function decode(bytes, at)
  local hi, lo = take('>I4I4', bytes, at or 1)
  return hi * 1048576 + floor(lo / SERIALS), lo % SERIALS
end

local function entry(at, serial, costs)
  local e = pack('>I4I4', floor(at / 1048576), at % 1048576 * SERIALS + serial)
  for u = 1, #s.units do e = e .. pack('>I8', costs[u]) end
  return e
end

local function when(i)
  if not memo[i] then memo[i] = decode(read(i, 1)) end
  return memo[i]
end

local function newest() return s.kept > 0 and when(s.n - 1) or s.cut end

-- The first entry later than t.
local function after(t)
  if s.kept == 0 or newest() <= t then return s.n end
  local lo, hi = s.n - s.kept, s.n - 1
  while lo < hi do
    local mid = floor((lo + hi) / 2)
    if when(mid) <= t then lo = mid + 1 else hi = mid end
  end
  return lo
end

-- Calls f for time and costs of the entries from i to before j.
local function each(i, j, f)
  while i < j do
    local m = min(64, j - i)
    local bytes = read(i, m)
    for k = 0, m - 1 do
      local at = decode(bytes, k * size + 1)
      local costs = {}
      for u = 1, #s.units do costs[u] = take('>I8', bytes, k * size + 1 + 8 * u) end
      f(at, costs)
    end
    i = i + m
  end
end

-- Lays everything out anew, in one write, so that no error can leave half of it.
local function layout(ring, room, entries)
  entries = entries or read(s.n - s.kept, s.kept)
  s.base, s.ring, s.room = s.n - s.kept, ring, room
  local top = encode()
  redis.call('SETRANGE', record, 0, top .. string.rep('\0', 8 * room - #top) .. entries)
  changed = true
end

-- A unit that is new begins empty: what has started by when it was born cost nothing in it.
local column = {}
for i, id in ipairs(units) do
  for c, u in ipairs(s.units) do
    if u.id == id then column[i] = c end
  end
  if not column[i] then
    if s.kept > LOOK then s.kept, s.cut = LOOK, when(s.n - LOOK - 1) end
    local bytes, wider = read(s.n - s.kept, s.kept), {}
    for k = 0, s.kept - 1 do wider[k + 1] = string.sub(bytes, k * size + 1, (k + 1) * size) .. pack('>I8', 0) end
    s.units[#s.units + 1] = {id = id, born = newest(), pending = 0, since = 0}
    column[i], size = #s.units, size + 8
    layout(s.ring, s.room + 4, table.concat(wider))
  end
end

-- Makes room for one more entry.
local function make_room()
  if s.kept < s.ring then return end
  local oldest = when(s.n - s.kept)
  if (s.kept >= s.calls + SLACK or oldest + s.span <= now) and oldest + s.bytime <= now then
    s.kept, s.cut = s.kept - 1, oldest
    return
  end
  local ring = s.ring + min(s.ring, STEP)
  if (s.n - s.base) % s.ring == 0 then
    s.base, s.ring = s.n - s.ring, ring -- at its end it goes on
  else
    layout(ring, s.room)
  end
end

-- What limits remember, other than by the ring. An even limit: x, the next slot. A cost: x, the
-- first entry that counts, y, what all from there on cost, and z, before when nothing may
-- start. A bucket: x, what is drawn, in parts, y, as of when, z, when it was full last, and w,
-- the least that was drawn since. Entries before upto are part of it; -1 = it has to be found
-- anew.

local function flowed(l, drawn, after) return max(0, drawn - max(0, floor(after * l.rate / l.period * PARTS))) end

local function cost_in(l, costs) return l.unit == 0 and 1 or costs[column[l.unit]] end

local function opens(l, k)
  local i = s.n - l.amount + k % l.amount
  if i < 0 then return 0 end
  return (i >= s.n - s.kept and when(i) or s.cut) + l.period
end

local function add(l, at, cost, open)
  local r = l.rec
  if l.kind == EVEN then
    local slot = max(r.x, open)
    if at >= slot + l.rate then slot = at end -- idle: missed slots are not made up for
    r.x = slot + l.rate
  elseif l.kind == COST then
    r.y = r.y + cost
  elseif cost > 0 then
    local drawn = flowed(l, r.x, at - r.y)
    if drawn == 0 then r.z, r.w = at, LAST else r.w = min(r.w, drawn) end
    r.x, r.y = drawn + cost * PARTS, max(at, r.y)
  end
end

local function catch_up(l)
  local r = l.rec
  local oldest = s.n - s.kept
  if r.upto < max(oldest, s.n - LOOK) or l.kind == COST and r.x < oldest then r.upto = -1 end
  if r.upto < 0 then
    local from = max(after(now - l.memory), s.n - LOOK)
    local before = from > oldest and when(from - 1) or s.cut
    local born = l.unit > 0 and s.units[column[l.unit]].born or 0
    r.upto, r.x, r.y, r.z, r.w = from, 0, 0, 0, LAST
    if l.kind == EVEN then
      r.upto, r.x = s.n, s.n > 0 and newest() + l.rate or 0
    elseif l.kind == COST then
      r.x, r.z = from, before > born and before + l.period or 0
    elseif before > born then
      r.x, r.y, r.z = l.amount * PARTS, before, before + 1 -- nobody knows: as if it had been empty then
    end
  end
  if r.upto < s.n then
    each(r.upto, s.n, function(at, costs) add(l, at, cost_in(l, costs), 0) end)
    r.upto = s.n
  end
  if l.kind == COST then
    local first = after(now - l.period)
    each(r.x, first, function(_, costs) r.y = r.y - cost_in(l, costs) end)
    r.x = max(r.x, first)
  end
end

for _, l in ipairs(limits) do
  if l.kind ~= WINDOW then
    for _, r in ipairs(recs) do
      if r.id == l.id then l.rec = r end
    end
    if not l.rec then
      l.rec = {id = l.id, upto = -1, x = 0, y = 0, z = 0, w = 0}
      recs[#recs + 1] = l.rec
      if #recs > 16 then table.remove(recs, 1) end -- the oldest is of limits that are used no more
    end
    l.rec.mine = true
    catch_up(l)
  end
end

-- Entries from i on are not what they were. Others' limits have to find out.
local function shaken(i)
  for _, r in ipairs(recs) do
    if r.mine then
      r.upto = s.n
    elseif r.upto > i then
      r.upto = -1
    end
  end
end

-- What a server said is left of its quotas, less what is on the record behind the start that it
-- answered: less than nothing, where more had started by when that was told. A cost that is taken
-- back counts for it only if it is of a later time.

local function drawn(q, all)
  for c, u in ipairs(s.units) do
    if u.id == q.unit then return all[c] end
  end
  return 1
end

local function give(at, cost_of)
  for _, q in ipairs(quotas) do
    if at > q.at then q.left = q.left + cost_of(q) end
  end
end

local function put(at, costs, further)
  make_room()
  s.serial = (s.serial + 1) % SERIALS
  local all = {}
  for c, u in ipairs(s.units) do
    if u.since + s.bytime <= at then u.pending = 0 end -- it counts no longer than a start
    all[c] = 1 -- nobody said what it costs
    for i = 1, #units do
      if column[i] == c then all[c] = costs[i] end
    end
    all[c] = all[c] + u.pending
  end
  for _, l in ipairs(limits) do
    if l.rec and not (further and l.kind == EVEN) then -- nothing is sent at that time
      local cost = l.unit == 0 and 1 or costs[l.unit]
      if l.kind == COST then cost = cost + s.units[column[l.unit]].pending end
      add(l, at, cost, l.kind == EVEN and opens(l, 0) or 0)
    end
  end
  for _, u in ipairs(s.units) do u.pending = 0 end
  for _, q in ipairs(quotas) do q.left = q.left - drawn(q, all) end
  local i = after(at)
  write(i, entry(at, s.serial, all) .. read(i, s.n - i))
  s.n, s.kept = s.n + 1, s.kept + 1
  shaken(i)
  return s.serial
end

-- The entry of a start, nil if it is not there any more.
local function find(at, serial)
  for i = after(at) - 1, s.n - s.kept, -1 do
    local t, n = decode(read(i, 1))
    if t ~= at then return nil end
    if n == serial then return i end
  end
end

local function credit(l, at, cost)
  if at >= l.rec.z then
    local back = min(cost * PARTS, l.rec.w, l.rec.x)
    l.rec.x, l.rec.w = l.rec.x - back, l.rec.w - back
  end
end

local function costs_at(i)
  local costs = {}
  each(i, i + 1, function(_, c) costs = c end)
  return costs
end

local function remove(i, at)
  if s.n - i > MOVED then return false end
  local costs, last = costs_at(i), i == s.n - 1
  local tail = read(i + 1, s.n - i - 1)
  if tail ~= '' then write(i, tail) end
  s.n, s.kept, memo, changed = s.n - 1, s.kept - 1, {}, true
  give(at, function(q) return drawn(q, costs) end)
  for _, l in ipairs(limits) do
    if l.kind == EVEN and last then
      l.rec.x = min(l.rec.x - l.rate, max(now, newest() + l.rate)) -- with slots given back before
    elseif l.kind == COST then
      if i >= l.rec.x then l.rec.y = l.rec.y - cost_in(l, costs) else l.rec.x = l.rec.x - 1 end
    elseif l.kind == BUCKET then
      credit(l, at, cost_in(l, costs))
    end
  end
  shaken(i)
  return true
end

local function settle(i, at, unit, amount)
  local costs = costs_at(i)
  local less = costs[column[unit]] - amount
  if less <= 0 then return end
  costs[column[unit]] = amount
  local _, serial = decode(read(i, 1))
  write(i, entry(at, serial, costs))
  give(at, function(q) return q.unit == units[unit] and less or 0 end)
  for _, l in ipairs(limits) do
    if l.unit == unit and l.kind == COST and i >= l.rec.x then l.rec.y = l.rec.y - less end
    if l.unit == unit and l.kind == BUCKET then credit(l, at, less) end
  end
  shaken(i)
end

-- Pauses and losses.

if pause < 0 then
  s.resumes, s.resumed, changed = 0, s.resumed + 1, true
  s.trial, quotas = 0, {}
  pause = -1 - pause
end
if pause > 0 and now + pause > s.resumes then
  s.told = s.resumes > now and max(s.told, told) or told
  s.resumes, changed = now + pause, true
  s.trial, s.prober = s.told, 0
end

-- A caller knows of a record that cannot have expired, and it is gone or older than that: the
-- starts of the last windows are unknown. Stand still until they have passed, be they as late
-- as the newest known; then go evenly for a window.
local gone = known < s.epoch and s.lost == 0
local older = known > s.epoch or known == s.epoch and given > changed_at
if known > 0 and (gone or older) then
  if given >= now then -- another server's clock, which is behind
    s.skew = s.skew + given + 1 - now
    now = given + 1
  end
  s.epoch, s.seen = now, now
  s.lost = now + min(max(ahead, 0) + s.span + max(UNHEARD, horizon), MAX_HOLD)
  changed = true
end

-- What is changed of earlier starts. A start given back that lies ahead stays on the record
-- for whoever asks next; one that nobody took in time goes.
for k = #frees, 1, -1 do
  local e = frees[k]
  if e.at <= now then
    local i = find(e.at, e.serial)
    table.remove(frees, k)
    if i then remove(i, e.at) end
  end
end

local returned = 0
for _ = 1, arg() do
  local kind, at, serial, unit, amount = arg(), arg(), arg(), arg(), arg()
  if kind == 4 then -- what others wait for
    if s.prober == me then
      if amount == 1 then s.trial = 0 end
      s.prober, changed = 0, true
    end
  elseif kind == 3 then
    if unit == 0 then
      local nothing = {}
      for i = 1, #units do nothing[i] = 0 end
      for _ = 1, amount do put(now, nothing, true) end
    else
      local u = s.units[column[unit]]
      u.pending, u.since, changed = u.pending + amount, now, true
      for _, l in ipairs(limits) do
        if l.kind == BUCKET and l.unit == unit then add(l, now, amount, 0) end
      end
    end
  elseif known == s.epoch then
    local i, free = find(at, serial), false
    for _, e in ipairs(frees) do free = free or e.at == at and e.serial == serial end
    if i and kind == 2 then
      settle(i, at, unit, amount)
    elseif i and not free then
      if s.prober == me and at + PATIENCE == s.probed then s.prober = 0 end
      if at > now and #s.units == 0 and #frees < 8 and at > s.resumes then
        frees[#frees + 1] = {at = at, serial = serial, ident = ident}
        table.sort(frees, function(a, b) return a.at < b.at end)
        returned, changed = returned + 1, true
      elseif remove(i, at) then
        returned = returned + 1
      end
    end
  end
end

for _ = 1, arg() do
  local q = {name = arg(), at = arg()}
  local serial, left, till
  serial, q.unit, left, till = arg(), arg(), arg(), arg()
  q.left, q.till = left, now + till
  local old
  for k, o in ipairs(quotas) do
    if o.name == q.name and o.unit == q.unit then old = k end
  end
  if till > 0 and not (old and quotas[old].at > q.at) then -- the newest start's answer counts
    if old then table.remove(quotas, old) end
    local from = (find(q.at, serial) or after(q.at) - 1) + 1
    each(from, s.n, function(_, all) q.left = q.left - drawn(q, all) end)
    if q.unit >= 0 or left == 0 then
      if #quotas == MAX_QUOTAS then table.remove(quotas, 1) end
      quotas[#quotas + 1] = q
    end
    changed = true
  end
end

-- Until when quotas have nothing left for a start of these costs.
local function used_up(costs)
  local till = 0
  for _, q in ipairs(quotas) do
    local cost = 1
    for i, id in ipairs(units) do
      if id == q.unit then cost = costs[i] end
    end
    if cost > max(0, q.left) then till = max(till, q.till) end
  end
  return till
end

-- When so much will have left a window of costs, nil where that is more than is there. Of very many
-- starts it is only known that it is not soon.
local function left(l, much)
  local known = memo[l]
  if known and known.much == much then return known.at end
  local i, stop, at = l.rec.x, min(s.n, l.rec.x + WALK), nil
  local more = much
  while i < stop and not at do
    local m = min(256, stop - i)
    local bytes = read(i, m)
    for e = 1, m * size, size do
      more = more - take('>I8', bytes, e + 8 * column[l.unit])
      if more <= 0 then
        at = decode(bytes, e) + l.period
        break
      end
    end
    i = i + m
  end
  if not at and stop < s.n then at = max(when(stop - 1) + l.period, now + horizon + 1000) end
  memo[l] = {much = much, at = at}
  return at
end

-- When limits have room for a start of these costs, after k more of that kind.

local function due_in(l, costs, k)
  if l.kind <= EVEN then
    local full = floor(k / l.amount)
    local at = max(full > 0 and now or 0, opens(l, k)) + full * l.period
    if l.kind == EVEN then at = max(at, l.rec.x + k * l.rate) end
    return at
  end
  local cost = l.unit == 0 and 1 or costs[l.unit]
  if cost == 0 then return 0 end
  local r = l.rec
  if l.kind == BUCKET then
    return r.y + ceil(max(0, r.x + (cost * (k + 1) - l.amount) * PARTS) / PARTS * l.period / l.rate)
  end
  local fit = max(1, floor(l.amount / cost))
  local full = floor(k / fit)
  local u = s.units[column[l.unit]]
  local over = r.y + u.pending + cost * (k % fit + 1) - l.amount
  local at = 0
  if over > 0 then at = left(l, over) or (u.pending > 0 and u.since or now) + l.period end -- when all before has left
  return max(full > 0 and now or 0, r.z, at) + full * l.period
end

-- Until when nobody starts, whatever the limits say.
local function held(costs)
  local probed = s.trial == 1 and s.prober > 0 and s.probed or 0 -- all wait for what becomes of a probe
  return max(s.resumes, s.lost, probed, used_up(costs))
end

local function due(costs, k)
  local at = max(now, held(costs))
  if append then at = max(at, newest()) end
  for _, l in ipairs(limits) do at = max(at, due_in(l, costs, k)) end
  for _, l in ipairs(limits) do
    local cost = l.kind > EVEN and l.unit > 0 and costs[l.unit] or 1
    local whole = l.kind == BUCKET and l.rate or l.amount
    if at < s.lost + l.period then at = max(at, newest() + floor(l.period / whole * cost)) end
  end
  return at
end

-- The line: 14 bytes for each process that waits: who, its turn, and until when it has
-- promised to ask again. Turns are rounds, in which each has one start. Who broke its promise
-- has lost its place, and a second later its turn; until then it is at most one round ahead of
-- all. So is who waits for nothing after a start: who comes anew at each start would else have
-- its turn ever anew, before those who wait for theirs. Who is new comes in the next round.

local WAITER, TURN = 14, '>I4I4I6'
local waiting = redis.call('GET', line) or ''
local was = waiting
local turns, before, place, turn = {}, 0, nil, nil -- of the others; how many of them are before me
local first -- of the others' turns
do
  local kept, at, ms = {}, 1, floor(now / 1000)
  while at < #waiting do
    local who, t, by = take(TURN, waiting, at)
    local waits = t % 2 == 1 and by >= ms
    t = floor(t / 2)
    if who == me and wanted > 0 then -- else it goes on waiting
      turn = t
      if waits then place, before = #kept + 1, #turns end
    elseif by + POLL / 1000 >= ms then
      if waits then
        turns[#turns + 1] = t
        first = min(first or t, t)
      end
      kept[#kept + 1] = string.sub(waiting, at, at + WAITER - 1)
    end
    at = at + WAITER
  end
  waiting = kept
end
if not place then
  before = #turns
  if first then turn = turn and max(turn, first - 1) or first + 1 end
  turn = turn or 0
end

-- How many starts others have before my next.
local function owed()
  local k = 0
  for i, t in ipairs(turns) do
    if t < turn then
      k = k + turn - t -- then it stands behind me
    elseif t == turn and i <= before then
      k = k + 1
    end
  end
  return k
end

local starts, ask, costs = {}, 0, {}
for w = 1, wanted do
  costs = {}
  for i = 1, #units do costs[i] = arg() end
  local free = frees[1]
  if free and (free.ident ~= ident or #s.units > 0 or free.at < held(costs)) then free = nil end
  local at = due(costs, 0)
  if free and free.at <= at then at = free.at else free = nil end
  local turned, k = at, 0
  if not free and at > now then
    k = owed()
    if k > 0 then turned = due(costs, k) end
  end
  if turned > now + horizon or at > LAST then
    ask = turned - horizon - now
    if k > 0 and k <= STAND_BY then ask = min(ask, at + k * (horizon + GRACE) - now) end
    ask = max(1, ask)
    break
  end
  if free then
    s.serial = (s.serial + 1) % SERIALS -- a new one: who gave it back may say so again
    write(find(at, free.serial), entry(at, s.serial))
    starts[#starts + 1], starts[#starts + 2] = at, s.serial
    table.remove(frees, 1)
  else
    local serial = put(at, costs)
    starts[#starts + 1], starts[#starts + 2] = at, serial
  end
  if s.trial == 1 and s.prober == 0 then s.prober, s.probed = me, at + PATIENCE end
  turn, before, place = turn + 1, #turns, nil
end

local function stay(at, waits, by)
  if #waiting < MAX_LINE then
    table.insert(waiting, at or #waiting + 1, pack(TURN, me, 2 * turn + waits, floor(by / 1000)))
  end
end

-- Who cannot start soon keeps no place: others could not know what it waits for.
if ask > 0 then
  local soon = due(costs, 0) <= now + POLL
  ask = min(ask, POLL - (me + now) % floor(POLL / 4))
  if soon then stay(place, 1, now + ask + horizon + GRACE) end
elseif #starts > 0 and #turns > 0 then
  stay(nil, 0, max(now, starts[#starts - 1]))
end
waiting = table.concat(waiting)
if waiting == '' then
  if was ~= '' then redis.call('DEL', line) end
elseif waiting ~= was then
  redis.call('SET', line, waiting, 'PX', 2 * ceil(POLL / 1000) + ceil(horizon / 1000))
end

local rooms = {}
if #costs == 0 then
  for i = 1, #units do costs[i] = 1 end
end
for i, l in ipairs(limits) do rooms[i] = max(due_in(l, costs, 0), s.lost, used_up(costs)) - now end

if changed then
  -- Never sooner than before: a caller may know of starts that others gave back.
  local last = max(now, newest(), s.resumes, s.lost)
  for _, q in ipairs(quotas) do last = max(last, q.till) end
  local keep = last + 2 * s.span + MARGIN
  local longer = keep > s.keep
  if longer then s.keep = keep + MARGIN end
  local bytes, n = encode()
  if n > s.room then
    layout(s.ring, n + 9)
    bytes = encode()
  end
  redis.call('SETRANGE', record, 0, bytes)
  if longer then redis.call('PEXPIRE', record, ceil((s.keep - now) / 1000)) end
elseif header == '' then
  s.epoch = 0
end
local pauses = s.resumes > now or s.trial == 1 and s.prober == me -- who probes may not have heard of it
local reply = {s.epoch, now, pauses and s.resumes or 0, s.told, s.resumed, returned, ask}
for _, r in ipairs(rooms) do reply[#reply + 1] = max(0, min(r, 9e15)) end
for _, n in ipairs(starts) do reply[#reply + 1] = n end
return reply
