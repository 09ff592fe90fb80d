-- extend: an opened hold grows to given amounts, if every one of its windows has room for the growth.
-- KEYS  1 epoch  2 the hold   (window keys are named in the hold; all share one slot)
-- ARGV  1 epoch id  2 cash nanos  3 full nanos   (of the whole hold afterwards)
-- Returns {'epoch'} | {'done', the state, or 'unknown'} (it is not opened: nothing was done) | {'extended', cash, full}
--       | {'refused', window key, kind, limit, settled, unconfirmed, reserved, needed}
-- To an amount, not by one: a repeated or overtaken call changes nothing. Mirrors `extend` of counter-model.ts.
local epoch = redis.call('HMGET', KEYS[1], 'id', 'state')
if epoch[1] ~= ARGV[1] or epoch[2] ~= 'open' then return { 'epoch' } end
local hold = redis.call('HMGET', KEYS[2], 's', 'c', 'f', 'w')
if hold[1] ~= 'opened' then return { 'done', hold[1] or 'unknown' } end
local function int(n) return string.format('%.0f', n) end
local before = { c = tonumber(hold[2]), f = tonumber(hold[3]) }
local after = { c = math.max(before.c, tonumber(ARGV[2])), f = math.max(before.f, tonumber(ARGV[3])) }

local growing = {}
for entry in string.gmatch(hold[4], '[^\n]+') do
  local basis, key = string.sub(entry, 1, 1), string.sub(entry, 2)
  local needed = after[basis] - before[basis]
  if needed > 0 then
    local w = redis.call('HMGET', key, 'limit', 'settled', 'unconfirmed', 'reserved', 'peak')
    local spent, reserved = tonumber(w[2]) + tonumber(w[3]), tonumber(w[4])
    local free = tonumber(w[1]) - spent
    if free - reserved < needed then
      return { 'refused', key, free < needed and 'exhausted' or 'held', w[1], w[2], w[3], w[4], int(needed) }
    end
    growing[#growing + 1] = { key, int(reserved + needed), int(math.max(tonumber(w[5]), spent + reserved + needed)) }
  end
end
for _, w in ipairs(growing) do redis.call('HSET', w[1], 'reserved', w[2], 'peak', w[3]) end
redis.call('HSET', KEYS[2], 'c', int(after.c), 'f', int(after.f))
return { 'extended', int(after.c), int(after.f) }
