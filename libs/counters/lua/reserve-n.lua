-- reserve: admits the first candidate that fits in every budget window it matches.
-- KEYS  1 epoch  2 set of window keys  3 leases (zset)  4 the hold  5.. distinct window keys
-- ARGV  1 epoch id  2 attempt id  3 lease ms  4 number of candidates, then for each candidate:
--       maxTokens minTokens cashFixed cashPerToken fullFixed fullPerToken windows, then for each window:
--       index into KEYS, basis (c|f), limit, limit version        (amounts: integer nano-USD below 2^53)
-- Returns {'epoch'} | {'granted', candidate, tokens, cash, full, leaseUntilMs, left...} (left: one per window)
--       | {'refused', per candidate: window position, kind, limit, settled, unconfirmed, reserved, needed ..., earliest lease ms}
-- Times are Redis' own. Mirrors `reserve` of libs/budget-core/src/counter-model.ts.
local epoch = redis.call('HMGET', KEYS[1], 'id', 'state', 'windows')
if epoch[1] ~= ARGV[1] or epoch[2] ~= 'open' then return { 'epoch' } end
-- A deleted set, or keys missing from it, would look like customers never seen: admission closes instead.
if redis.call('SCARD', KEYS[2]) ~= tonumber(epoch[3]) then
  redis.call('HSET', KEYS[1], 'state', 'broken')
  return { 'epoch' }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local int = function(n) return string.format('%.0f', n) end

local known = redis.call('HMGET', KEYS[4], 'g', 't', 'c', 'f', 'l')
if known[1] then return { 'granted', known[1], known[2], known[3], known[4], known[5] } end

local cache = {}
local function window(index, limit, version)
  local w = cache[index]
  if not w then
    local key = KEYS[index]
    local got = redis.call('HMGET', key, 'limit', 'version', 'settled', 'unconfirmed', 'reserved')
    if not got[1] then
      if redis.call('SISMEMBER', KEYS[2], key) == 1 then return nil end
      redis.call('HSET', key, 'limit', limit, 'version', version, 'settled', 0, 'unconfirmed', 0, 'reserved', 0, 'peak', 0)
      redis.call('SADD', KEYS[2], key)
      redis.call('HINCRBY', KEYS[1], 'windows', 1)
      got = { limit, version, '0', '0', '0' }
    end
    w = { limit = tonumber(got[1]), version = tonumber(got[2]), settled = tonumber(got[3]), unconfirmed = tonumber(got[4]), reserved = tonumber(got[5]) }
    cache[index] = w
  end
  if tonumber(version) > w.version then
    w.limit, w.version = tonumber(limit), tonumber(version)
    redis.call('HSET', KEYS[index], 'limit', limit, 'version', version)
  end
  return w
end

local function affordable(fixed, per, room, max)
  if room < fixed then return -1 end
  if per == 0 then return max end
  local tokens = math.floor((room - fixed) / per)
  -- A quotient of doubles may be one too high.
  if tokens * per > room - fixed then tokens = tokens - 1 end
  if tokens < max then return tokens end
  return max
end

local refused = { 'refused' }
local at = 5
for candidate = 0, tonumber(ARGV[4]) - 1 do
  local max, min = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local fixed = { c = tonumber(ARGV[at + 2]), f = tonumber(ARGV[at + 4]) }
  local per = { c = tonumber(ARGV[at + 3]), f = tonumber(ARGV[at + 5]) }
  local count = tonumber(ARGV[at + 6])
  at = at + 7
  local first = at
  local tokens = max
  local binding = nil
  for position = 0, count - 1 do
    local index, basis = tonumber(ARGV[at]), ARGV[at + 1]
    local w = window(index, ARGV[at + 2], ARGV[at + 3])
    if not w then
      redis.call('HSET', KEYS[1], 'state', 'broken')
      return { 'epoch' }
    end
    at = at + 4
    local spent = w.settled + w.unconfirmed
    local fits = affordable(fixed[basis], per[basis], w.limit - spent - w.reserved, max)
    if fits < min and not binding then
      local free = affordable(fixed[basis], per[basis], w.limit - spent, max)
      binding = { position, free >= min and 'held' or 'exhausted', int(w.limit), int(w.settled), int(w.unconfirmed), int(w.reserved), int(fixed[basis] + per[basis] * min) }
    end
    if fits < tokens then tokens = fits end
  end
  if binding then
    for _, value in ipairs(binding) do refused[#refused + 1] = value end
  else
    local hold = { c = fixed.c + per.c * tokens, f = fixed.f + per.f * tokens }
    local windows, left = {}, {}
    local p = first
    for _ = 1, count do
      local index, basis = tonumber(ARGV[p]), ARGV[p + 1]
      p = p + 4
      local w = cache[index]
      w.reserved = w.reserved + hold[basis]
      local used = w.settled + w.unconfirmed + w.reserved
      redis.call('HINCRBY', KEYS[index], 'reserved', int(hold[basis]))
      local peak = tonumber(redis.call('HGET', KEYS[index], 'peak') or '0')
      if used > peak then redis.call('HSET', KEYS[index], 'peak', int(used)) end
      windows[#windows + 1] = basis .. KEYS[index]
      left[#left + 1] = int(w.limit - used)
    end
    local lease = now + tonumber(ARGV[3])
    redis.call('HSET', KEYS[4], 's', 'reserved', 'c', int(hold.c), 'f', int(hold.f), 'g', candidate, 't', int(tokens), 'l', int(lease), 'w', table.concat(windows, '\n'))
    redis.call('ZADD', KEYS[3], int(lease), ARGV[2])
    local granted = { 'granted', tostring(candidate), int(tokens), int(hold.c), int(hold.f), int(lease) }
    for _, value in ipairs(left) do granted[#granted + 1] = value end
    return granted
  end
end
local earliest = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
refused[#refused + 1] = earliest[2] and int(tonumber(earliest[2]) - now) or ''
return refused
