-- open-epoch: admits again, if every window that must exist does.
-- KEYS  1 epoch  2 set of window keys
-- ARGV  1 epoch id  2 number of windows loaded
-- Returns 'ok' | 'superseded' | 'incomplete'
local epoch = redis.call('HMGET', KEYS[1], 'id', 'state')
if epoch[1] ~= ARGV[1] or epoch[2] ~= 'building' then return 'superseded' end
if redis.call('SCARD', KEYS[2]) ~= tonumber(ARGV[2]) then return 'incomplete' end
redis.call('HSET', KEYS[1], 'windows', ARGV[2], 'state', 'open')
return 'ok'
