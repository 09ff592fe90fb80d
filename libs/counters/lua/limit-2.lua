-- limit: a newer limit of a window is in force at once, also where no request brings it.
-- KEYS  1 epoch  2 the window
-- ARGV  1 epoch id  2 limit  3 limit version
-- Returns 'epoch' | 'changed' | 'same' (not newer, or nobody used the window yet)
-- Mirrors `changeLimit` of counter-model.ts.
local epoch = redis.call('HMGET', KEYS[1], 'id', 'state')
if epoch[1] ~= ARGV[1] or epoch[2] ~= 'open' then return 'epoch' end
local version = redis.call('HGET', KEYS[2], 'version')
if not version or tonumber(ARGV[3]) <= tonumber(version) then return 'same' end
redis.call('HSET', KEYS[2], 'limit', ARGV[2], 'version', ARGV[3])
return 'changed'
