-- reserve: admits the first candidate that fits in every budget window it matches and in its account's rates.
-- KEYS  1 epoch  2 set of window keys  3 leases (zset)  4 the hold  5.. distinct window, account and org keys
-- ARGV  1 epoch id  2 attempt id  3 lease ms  4 number of candidates, then for each candidate:
--       maxTokens minTokens cashFixed cashPerToken fullFixed fullPerToken traits windows, then for each window:
--       index into KEYS, basis (c|f), limit, limit version, options     (amounts: integer nano-USD below 2^53)
--       traits   l local; a<index into KEYS>,<requests a minute>,<tokens a minute>,<tokens>   (0: no such limit)
--                o<index into KEYS>,<requests a minute> the quota of the org that asks
--       options  p<from> prefer-local, t<from>:<requests a minute> throttle, l<from> local-only, r<from> reject,
--                i<instances that the template may have>               (from: committed spend in nano-USD)
-- Returns {'epoch'}
--       | {'granted', candidate, tokens, cash, full, lease until ms, now us, left..., passed over...} (left: one per window; passed
--          over: of each candidate before it that was looked at its place and what is told of a refused one; none when repeated)
--       | {'refused', now us, ms to the earliest lease or '', then for each candidate: window position or '', kind, limit,
--          settled, unconfirmed, reserved, needed, us to wait or '', detail} (detail of a stage that passes over: prefer-local)
-- Times are Redis' own. Mirrors `reserve` of libs/budget-core/src/counter-model/reserve.ts.
local epoch = redis.call('HMGET', KEYS[1], 'id', 'state', 'windows')
if epoch[1] ~= ARGV[1] or epoch[2] ~= 'open' then return { 'epoch' } end
local function broken()
  redis.call('HSET', KEYS[1], 'state', 'broken')
  return { 'epoch' }
end
-- A deleted set, or keys missing from it, would look like customers never seen: admission closes instead.
if redis.call('SCARD', KEYS[2]) ~= tonumber(epoch[3]) then return broken() end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function int(n) return string.format('%.0f', n) end

local known = redis.call('HMGET', KEYS[4], 'g', 't', 'c', 'f', 'l')
if known[1] then return { 'granted', known[1], known[2], known[3], known[4], known[5], int(now) } end

local MINUTE = 60000000
-- Rates are generic cell rates, as in libs/budget-core/src/rates.ts: burst, flow a minute, how far ahead.
local function request_rate(limit)
  local burst = math.max(1, math.floor(limit / 10))
  local flow = limit - burst + 1
  return { limit = limit, burst = burst, flow = flow, ahead = burst * math.ceil(MINUTE / flow) }
end
local function token_rate(limit)
  local burst = math.max(1, math.floor(limit / 10))
  local flow = math.max(1, limit - burst)
  return { limit = limit, burst = burst, flow = flow, ahead = math.ceil(burst * MINUTE / flow) }
end
local function cost(rate, units) return math.ceil(units * MINUTE / rate.flow) end
-- Nil: never.
local function wait(rate, arrival, units)
  if units > rate.limit then return nil end
  local ahead = math.max(0, arrival - now)
  if units > rate.burst then return ahead end
  return math.max(0, ahead + cost(rate, units) - rate.ahead)
end
local function arrival_after(rate, arrival, units) return int(math.max(arrival, now) + cost(rate, units)) end

local function affordable(fixed, per, room, max)
  if room < fixed then return -1 end
  if per == 0 then return max end
  local tokens = math.floor((room - fixed) / per)
  -- A quotient of doubles may be one too high.
  if tokens * per > room - fixed then tokens = tokens - 1 end
  if tokens < max then return tokens end
  return max
end

local INSTANCE = ':w:(.+)%-%-' .. string.rep('[0-9a-f]', 16) .. ':([^:]+)$'
local function instances_field(key)
  local template, window = string.match(key, INSTANCE)
  return template and ('i:' .. template .. ':' .. window)
end

-- One look at each window, whichever candidates match it. Nil: it must be there and is not.
local windows = {}
local function window(index, limit, version)
  local w = windows[index]
  if not w then
    local key = KEYS[index]
    local got = redis.call('HMGET', key, 'limit', 'version', 'settled', 'unconfirmed', 'reserved', 'peak', 'throttle')
    if got[1] then
      w = { limit = tonumber(got[1]), version = tonumber(got[2]), settled = got[3], unconfirmed = got[4], reserved = got[5],
        held = tonumber(got[5]), peak = tonumber(got[6]), throttle = tonumber(got[7] or '0') }
      w.spent = tonumber(got[3]) + tonumber(got[4])
    else
      if redis.call('SISMEMBER', KEYS[2], key) == 1 then return nil end
      w = { new = true, limit = tonumber(limit), version = tonumber(version), settled = '0', unconfirmed = '0', reserved = '0',
        held = 0, peak = 0, throttle = 0, spent = 0 }
    end
    windows[index] = w
  end
  -- The newest version of a limit is in force, whoever brings it.
  if tonumber(version) > w.version then
    w.limit, w.version = tonumber(limit), tonumber(version)
    if not w.new then redis.call('HSET', KEYS[index], 'limit', limit, 'version', version) end
  end
  return w
end

local parsed = {}
local function options_of(text)
  local options = parsed[text]
  if not options then
    options = { throttles = {} }
    for letter, amount, rate in string.gmatch(text, '(%a)(%d+):?(%d*)') do
      if letter == 't' then
        options.throttles[#options.throttles + 1] = { from = tonumber(amount), rate = tonumber(rate) }
      else
        options[letter] = tonumber(amount)
      end
    end
    parsed[text] = options
  end
  return options
end

-- Why a window refuses (kind, lasting, us to wait, detail), or nil; the tokens that fit; whether it prefers local; its throttle.
local function judge(w, index, options, fixed, per, max, min, is_local)
  if options and w.new and options.i then
    local field = instances_field(KEYS[index])
    local count = field and tonumber(redis.call('HGET', KEYS[1], field) or '0') or 0
    if field and count >= options.i then return { 'instances', true, '', '' }, max end
  end
  -- What costs nothing in the budget's basis is never refused by it (invariant 11).
  if fixed == 0 and per == 0 then return nil, max end
  local spent = w.spent
  local tokens = affordable(fixed, per, w.limit - spent - w.held, max)
  local prefers = options and options.p and spent >= options.p and not is_local
  if tokens < min and affordable(fixed, per, w.limit - spent, max) < min then
    return { 'exhausted', true, '', '' }, tokens, prefers
  end
  if options then
    if options.r and spent >= options.r then return { 'stage', true, '', 'reject' }, tokens, prefers end
    if options.l and spent >= options.l and not is_local then
      return { 'stage', true, '', 'local-only' }, tokens, prefers
    end
  end
  if tokens < min then return { 'held', false, '', '' }, tokens, prefers end
  local rate
  if options then
    for _, throttle in ipairs(options.throttles) do
      if spent >= throttle.from and (not rate or throttle.rate < rate) then rate = throttle.rate end
    end
    if rate then
      rate = request_rate(rate)
      local micros = wait(rate, w.throttle, 1)
      if micros > 0 then return { 'throttled', false, int(micros), '' }, tokens, prefers end
    end
  end
  return nil, tokens, prefers, rate
end

local function account_of(traits)
  local index, requests, tokens, asked = string.match(traits, 'a(%d+),(%d+),(%d+),(%d+)')
  if not index then return nil end
  local account = { key = KEYS[tonumber(index)], asked = tonumber(asked) }
  local got = redis.call('HMGET', account.key, 'requests', 'tokens')
  account.requests, account.tokens = tonumber(got[1] or '0'), tonumber(got[2] or '0')
  if requests ~= '0' then account.request_rate = request_rate(tonumber(requests)) end
  if tokens ~= '0' then account.token_rate = token_rate(tonumber(tokens)) end
  return account
end
local function judge_account(account)
  if account.request_rate then
    local micros = wait(account.request_rate, account.requests, 1)
    if micros > 0 then return { 'rate', false, int(micros), 'requests' } end
  end
  if account.token_rate then
    local micros = wait(account.token_rate, account.tokens, account.asked)
    if micros ~= 0 then return { 'rate', false, micros and int(micros) or '', 'tokens' } end
  end
  return nil
end

local function org_of(traits)
  local index, requests = string.match(traits, 'o(%d+),(%d+)')
  if not index then return nil end
  local key = KEYS[tonumber(index)]
  return { key = key, rate = request_rate(tonumber(requests)), arrival = tonumber(redis.call('HGET', key, 'requests') or '0') }
end

-- Where each candidate begins.
local candidates = tonumber(ARGV[4])
local begins = {}
local at = 5
for c = 1, candidates do
  begins[c] = at
  at = at + 8 + 5 * tonumber(ARGV[at + 7])
end

-- Nil: admission must close. Else whether it fits, with what to refuse or to grant.
local function evaluate(c)
  local from = begins[c]
  local max, min = tonumber(ARGV[from]), tonumber(ARGV[from + 1])
  local cash_fixed, cash_per = tonumber(ARGV[from + 2]), tonumber(ARGV[from + 3])
  local full_fixed, full_per = tonumber(ARGV[from + 4]), tonumber(ARGV[from + 5])
  local traits, count = ARGV[from + 6], tonumber(ARGV[from + 7])
  local is_local = string.sub(traits, 1, 1) == 'l'
  local seen = { tokens = max, cash_fixed = cash_fixed, cash_per = cash_per, full_fixed = full_fixed, full_per = full_per,
    count = count, from = from + 8, rates = {} }
  local hard, soft
  local p = from + 8
  for position = 0, count - 1 do
    local index, cash = tonumber(ARGV[p]), ARGV[p + 1] == 'c'
    local w = window(index, ARGV[p + 2], ARGV[p + 3])
    if not w then return nil end
    local options = ARGV[p + 4] ~= '' and options_of(ARGV[p + 4]) or nil
    local fixed, per = cash and cash_fixed or full_fixed, cash and cash_per or full_per
    local why, tokens, prefers, rate = judge(w, index, options, fixed, per, max, min, is_local)
    -- The first that lasts is told, else the first that passes.
    if why and not hard and (why[2] or not soft) then
      local binding = { int(position), why[1], int(w.limit), w.settled, w.unconfirmed, w.reserved, int(fixed + per * min), why[3], why[4] }
      if why[2] then hard = binding else soft = binding end
    end
    if tokens < seen.tokens then seen.tokens = tokens end
    if prefers and not seen.prefers then
      seen.prefers = { int(position), 'stage', int(w.limit), w.settled, w.unconfirmed, w.reserved, int(fixed + per * min), '', 'prefer-local' }
    end
    if rate then seen.rates[index] = rate end
    p = p + 5
  end
  seen.binding = hard or soft
  if not seen.binding and traits ~= '' then
    seen.account = account_of(traits)
    local why = seen.account and judge_account(seen.account)
    if why then seen.binding = { '', why[1], '0', '0', '0', '0', '0', why[3], why[4] } end
    seen.org = not why and org_of(traits)
    local micros = seen.org and wait(seen.org.rate, seen.org.arrival, 1) or 0
    if micros > 0 then seen.binding = { '', 'org-rate', '0', '0', '0', '0', '0', int(micros), 'requests' } end
  end
  return seen
end

local bindings = {}

local function grant(c, seen)
  local tokens = seen.tokens
  local cash, full = seen.cash_fixed + seen.cash_per * tokens, seen.full_fixed + seen.full_per * tokens
  local lease = math.floor(now / 1000) + tonumber(ARGV[3])
  local granted = { 'granted', tostring(c - 1), int(tokens), int(cash), int(full), int(lease), int(now) }
  local names, added = {}, {}
  local p = seen.from
  for i = 1, seen.count do
    local index, basis = tonumber(ARGV[p]), ARGV[p + 1]
    local key, w = KEYS[index], windows[index]
    local amount = basis == 'c' and cash or full
    local used = w.spent + w.held + amount
    local fields = {}
    if w.new then
      fields = { 'limit', int(w.limit), 'version', int(w.version), 'settled', '0', 'unconfirmed', '0', 'reserved', int(amount),
        'peak', int(used) }
      added[#added + 1] = key
      local field = instances_field(key)
      if field then redis.call('HINCRBY', KEYS[1], field, 1) end
    elseif amount > 0 then
      fields = { 'reserved', int(w.held + amount) }
      if used > w.peak then
        fields[3], fields[4] = 'peak', int(used)
      end
    end
    local rate = seen.rates[index]
    if rate then
      fields[#fields + 1] = 'throttle'
      fields[#fields + 1] = arrival_after(rate, w.throttle, 1)
    end
    if #fields > 0 then redis.call('HSET', key, unpack(fields)) end
    names[i] = basis .. key
    granted[7 + i] = int(w.limit - used)
    p = p + 5
  end
  if #added > 0 then
    redis.call('SADD', KEYS[2], unpack(added))
    redis.call('HINCRBY', KEYS[1], 'windows', #added)
  end
  local account = seen.account
  if account then
    if account.request_rate then
      redis.call('HSET', account.key, 'requests', arrival_after(account.request_rate, account.requests, 1))
    end
    if account.token_rate then
      redis.call('HSET', account.key, 'tokens', arrival_after(account.token_rate, account.tokens, account.asked))
    end
  end
  local org = seen.org
  if org then redis.call('HSET', org.key, 'requests', arrival_after(org.rate, org.arrival, 1)) end
  redis.call('HSET', KEYS[4], 's', 'reserved', 'c', int(cash), 'f', int(full), 'g', c - 1, 't', int(tokens), 'l', int(lease),
    'w', table.concat(names, '\n'))
  redis.call('ZADD', KEYS[3], int(lease), ARGV[2])
  for before = 1, c - 1 do
    if bindings[before] then
      granted[#granted + 1] = int(before - 1)
      for _, value in ipairs(bindings[before]) do granted[#granted + 1] = value end
    end
  end
  return granted
end

for c = 1, candidates do
  if not bindings[c] then
    local seen = evaluate(c)
    if not seen then return broken() end
    if not seen.binding then
      -- It fits, but a budget prefers local: the local ones after it go first.
      for later = c + 1, seen.prefers and candidates or 0 do
        if not bindings[later] and string.sub(ARGV[begins[later] + 6], 1, 1) == 'l' then
          local other = evaluate(later)
          if not other then return broken() end
          if not other.binding then
            bindings[c] = seen.prefers
            return grant(later, other)
          end
          bindings[later] = other.binding
        end
      end
      return grant(c, seen)
    end
    bindings[c] = seen.binding
  end
end
local earliest = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
local refused = { 'refused', int(now), earliest[2] and int(tonumber(earliest[2]) - math.floor(now / 1000)) or '' }
for c = 1, candidates do
  for _, value in ipairs(bindings[c]) do refused[#refused + 1] = value end
end
return refused
