-- take: one request of a key, if its rates and its concurrency allow it; all of it or nothing.
-- KEYS  1 the rates of the key  2 its requests in flight
-- ARGV  1 requests a minute  2 tokens a minute  3 requests at once (0: no limit)
--       4 tokens expected  5 id of the request ('': not counted as in flight)  6 for how long it can be in flight, ms
-- Returns { '' or what refuses (requests | tokens | concurrency), requests left, tokens left, requests in flight,
--           ms until a request fits, ms until the tokens fit }
-- Redis' own clock, as for leases: gateways whose clocks differ share the buckets. A bucket holds a minute's worth and fills
-- evenly; one that is full is not kept.
local MINUTE = 60000
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local kept = redis.call('HMGET', KEYS[1], 'requests', 'tokens', 'at')
local at = tonumber(kept[3]) or now
local passed = math.max(0, now - at)

local function level(limit, of)
  if limit == 0 then return 0 end
  if not of then return limit end
  return math.min(limit, tonumber(of) + passed * limit / MINUTE)
end
local function wait(limit, has, needs)
  if limit == 0 or has >= needs then return 0 end
  return math.ceil((needs - has) * MINUTE / limit)
end

local perMinute, tokensPerMinute, atOnce = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local expected = tonumber(ARGV[4])
local requests, tokens = level(perMinute, kept[1]), level(tokensPerMinute, kept[2])
local waitForRequest, waitForTokens = wait(perMinute, requests, 1), wait(tokensPerMinute, tokens, expected)

local inFlight = 0
if atOnce > 0 then
  -- Those whose gateway died.
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
  inFlight = redis.call('ZCARD', KEYS[2])
end
local refused = ''
if waitForRequest > 0 then refused = 'requests'
elseif waitForTokens > 0 then refused = 'tokens'
elseif atOnce > 0 and inFlight >= atOnce then refused = 'concurrency' end

if refused == '' then
  if perMinute > 0 then requests = requests - 1 end
  if tokensPerMinute > 0 then tokens = tokens - expected end
  if perMinute > 0 or tokensPerMinute > 0 then
    redis.call('HSET', KEYS[1], 'requests', string.format('%.6f', requests), 'tokens', string.format('%.6f', tokens),
      'at', string.format('%.0f', now))
    -- When both are full again, nothing is left to know.
    local full = math.max(wait(perMinute, requests, perMinute), wait(tokensPerMinute, tokens, tokensPerMinute))
    redis.call('PEXPIRE', KEYS[1], full + 1000)
  end
  if atOnce > 0 and ARGV[5] ~= '' then
    redis.call('ZADD', KEYS[2], now + tonumber(ARGV[6]), ARGV[5])
    redis.call('PEXPIRE', KEYS[2], math.max(redis.call('PTTL', KEYS[2]), tonumber(ARGV[6]) + 1000))
    inFlight = inFlight + 1
  end
end
return { refused, math.floor(requests), math.floor(tokens), inFlight, waitForRequest, waitForTokens }
