-- open-epoch: admits again, if every window that must exist does.
-- KEYS  1 epoch  2 set of window keys
-- ARGV  1 epoch id  2 number of windows loaded
-- Returns 'ok' | 'superseded' | 'incomplete'
-- Counts the instances of each template by the names of its windows, so that a rebuild restores what limits them.
local epoch = redis.call('HMGET', KEYS[1], 'id', 'state')
if epoch[1] ~= ARGV[1] or epoch[2] ~= 'building' then return 'superseded' end
local keys = redis.call('SMEMBERS', KEYS[2])
if #keys ~= tonumber(ARGV[2]) then return 'incomplete' end
local INSTANCE = ':w:(.+)%-%-' .. string.rep('[0-9a-f]', 16) .. ':([^:]+)$'
local counts = {}
for _, key in ipairs(keys) do
  local template, window = string.match(key, INSTANCE)
  if template then
    local field = 'i:' .. template .. ':' .. window
    counts[field] = (counts[field] or 0) + 1
  end
end
for field, count in pairs(counts) do redis.call('HSET', KEYS[1], field, count) end
redis.call('HSET', KEYS[1], 'windows', ARGV[2], 'state', 'open')
return 'ok'
