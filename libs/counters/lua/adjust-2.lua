-- adjust: corrects what is committed in a window by a difference, if it is still what was seen.
-- KEYS  1 epoch  2 the window
-- ARGV  1 epoch id  2 settled as seen  3 unconfirmed as seen  4 settled after  5 unconfirmed after
-- Returns 'epoch' | 'adjusted' | 'moved' (something was booked meanwhile: look again) | 'missing'
-- What is compared are the texts, so a repeated call finds it moved. Mirrors `adjust` of counter-model.ts.
local epoch = redis.call('HMGET', KEYS[1], 'id', 'state')
if epoch[1] ~= ARGV[1] or epoch[2] ~= 'open' then return 'epoch' end
local w = redis.call('HMGET', KEYS[2], 'settled', 'unconfirmed')
if not w[1] then return 'missing' end
if w[1] ~= ARGV[2] or w[2] ~= ARGV[3] then return 'moved' end
redis.call('HSET', KEYS[2], 'settled', ARGV[4], 'unconfirmed', ARGV[5])
return 'adjusted'
