-- Takes tokens out of a bucket that fills by itself, or puts some back. An absent bucket is a full one.
--
-- KEYS[1]  hash: Keys.bucket
-- ARGV[1]  tokens a second that flow in
-- ARGV[2]  tokens that it holds when full
-- ARGV[3]  tokens to take
-- ARGV[4]  'ask': only if they are there, or the bucket is full; 'take': whatever is there (below 0 puts some back)
--
-- Returns whether they were taken, and what is in the bucket now, as text; below 0 is a debt.
local rate, burst, tokens = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
-- The server's clock, so that the gateways' may differ.
local now = time[1] + time[2] / 1000000
local held = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = burst
if held[1] then
  -- A clock that was set back lets nothing flow in, and is believed from now on.
  level = math.min(burst, tonumber(held[1]) + math.max(0, now - tonumber(held[2])) * rate)
end
local taken = ARGV[4] == 'take' or level >= math.min(tokens, burst)
if taken then
  level = level - tokens
end
-- Before it is written anew: a script that begins by freeing memory is not refused at the server's limit.
redis.call('DEL', KEYS[1])
if level >= burst then
  level = burst
else
  redis.call('HSET', KEYS[1], 'level', string.format('%.17g', level), 'at', string.format('%.6f', now))
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.min((burst - level) / rate, 8640000) * 1000 + 1000))
end
return {taken and 1 or 0, string.format('%.17g', level)}
