-- finish: open, release, settle, unconfirm or expire one hold.
-- KEYS  1 epoch  2 set of window keys  3 leases  4 the hold   (window keys are named in the hold; all share one slot)
-- ARGV  1 epoch id  2 attempt id  3 verb  4 cash nanos  5 full nanos (settle only)  6 tombstone ms
-- Returns {'epoch'} | {'range'} (a window would leave 64 bits: nothing was done)
--       | {'done', the state before, or 'unknown', and after expire: now us}
-- Idempotent: a verb that does not fit the state changes nothing. Mirrors `act` of counter-model.ts.
local epoch = redis.call('HMGET', KEYS[1], 'id', 'state')
if epoch[1] ~= ARGV[1] or epoch[2] ~= 'open' then return { 'epoch' } end
local hold = redis.call('HMGET', KEYS[4], 's', 'c', 'f', 'w', 'l')
local state, verb = hold[1], ARGV[3]
if not state then return { 'done', 'unknown' } end
local live = state == 'reserved' or state == 'opened'

local function each(change)
  for entry in string.gmatch(hold[4], '[^\n]+') do
    local basis, key = string.sub(entry, 1, 1), string.sub(entry, 2)
    change(key, basis == 'c' and hold[2] or hold[3], basis == 'c' and ARGV[4] or ARGV[5])
  end
end
local function free(key, amount)
  -- "-0" is not an integer to Redis, and an error half-way would leave half of the change.
  if amount == '0' then return end
  redis.call('HINCRBY', key, state == 'unconfirmed' and 'unconfirmed' or 'reserved', '-' .. amount)
end
local function finish(as)
  redis.call('HSET', KEYS[4], 's', as)
  redis.call('PEXPIRE', KEYS[4], ARGV[6])
  -- An expired hold keeps its lease entry until the books know of it.
  if as ~= 'expired' then redis.call('ZREM', KEYS[3], ARGV[2]) end
end

if verb == 'open' then
  if state == 'reserved' then
    redis.call('HSET', KEYS[4], 's', 'opened')
    redis.call('ZREM', KEYS[3], ARGV[2])
  end
elseif verb == 'expire' then
  local time = redis.call('TIME')
  if state == 'reserved' and tonumber(hold[5]) <= time[1] * 1000 + math.floor(time[2] / 1000) then
    each(free)
    finish('expired')
  end
  return { 'done', state, string.format('%.0f', time[1] * 1000000 + time[2]) }
elseif verb == 'release' then
  if live or state == 'unconfirmed' then
    each(free)
    finish('released')
  end
elseif verb == 'unconfirm' then
  if live then
    each(function(key, amount)
      free(key, amount)
      redis.call('HINCRBY', key, 'unconfirmed', amount)
    end)
    redis.call('HSET', KEYS[4], 's', 'unconfirmed')
    redis.call('ZREM', KEYS[3], ARGV[2])
  end
elseif verb == 'settle' then
  if live or state == 'unconfirmed' then
    local most = 0
    each(function(key) most = math.max(most, tonumber(redis.call('HGET', key, 'settled'))) end)
    if most >= 4611686018427387904 then return { 'range' } end
    each(function(key, amount, actual)
      free(key, amount)
      redis.call('HINCRBY', key, 'settled', actual)
    end)
    finish('settled')
  end
end
return { 'done', state }
