-- correct: a request took other than the expected tokens.
-- KEYS  1 the rates of the key
-- ARGV  1 tokens a minute  2 tokens more than expected (negative: fewer)
-- Returns nothing. A bucket below zero makes the next ones wait; one that is not kept is full, and more than full it never is.
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local limit, more = tonumber(ARGV[1]), tonumber(ARGV[2])
if not kept[1] then
  if more <= 0 then return end
  local time = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', limit - more), 'at',
    string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)))
  redis.call('PEXPIRE', KEYS[1], math.ceil(more * 60000 / limit) + 1000)
  return
end
local tokens = math.min(limit, tonumber(kept[1]) - more)
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens))
local left = redis.call('PTTL', KEYS[1])
redis.call('PEXPIRE', KEYS[1], math.max(left, math.ceil((limit - tokens) * 60000 / limit) + 1000))
