-- renew: a hold that was not opened yet keeps its money for another lease.
-- KEYS  1 epoch  2 set of window keys  3 leases  4 the hold
-- ARGV  1 epoch id  2 attempt id  3 lease ms
-- Returns {'epoch'} | {'done', the state before, or 'unknown', now us}
-- Only `reserved` is renewed: an opened hold has no lease, and one that expired stays so. Mirrors `act` of counter-model.ts.
local epoch = redis.call('HMGET', KEYS[1], 'id', 'state')
if epoch[1] ~= ARGV[1] or epoch[2] ~= 'open' then return { 'epoch' } end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local state = redis.call('HGET', KEYS[4], 's')
if state == 'reserved' then
  local lease = string.format('%.0f', math.floor(now / 1000) + tonumber(ARGV[3]))
  redis.call('HSET', KEYS[4], 'l', lease)
  redis.call('ZADD', KEYS[3], lease, ARGV[2])
end
return { 'done', state or 'unknown', string.format('%.0f', now) }
