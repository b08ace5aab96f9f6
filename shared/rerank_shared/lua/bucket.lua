-- Takes tokens from a token bucket, or puts some back. The bucket fills by itself; an absent bucket is a full one.
--
-- KEYS[1]  hash: Keys.bucket
-- ARGV[1]  tokens a second that flow in
-- ARGV[2]  tokens of a full bucket
-- ARGV[3]  tokens to take; below 0 puts some back
-- ARGV[4]  'ask': take them only if they are there or the bucket is full; 'take': take them in any case
--
-- Returns whether they were taken (1 or 0), and the tokens in the bucket now, as text; below 0 is a debt.
local rate, burst, tokens = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
-- The server's clock, since those of the gateways may differ.
local now = time[1] + time[2] / 1000000
local held = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = burst
if held[1] then
  -- A clock that was set back lets no tokens flow in, and counts from now on.
  level = math.min(burst, tonumber(held[1]) + math.max(0, now - tonumber(held[2])) * rate)
end
local taken = ARGV[4] == 'take' or level >= math.min(tokens, burst)
if taken then
  level = level - tokens
end
-- Deleted before it is written: a script that begins by freeing memory is not refused at the server's limit.
redis.call('DEL', KEYS[1])
if level >= burst then
  level = burst
else
  redis.call('HSET', KEYS[1], 'level', string.format('%.17g', level), 'at', string.format('%.6f', now))
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.min((burst - level) / rate, 8640000) * 1000 + 1000))
end
return {taken and 1 or 0, string.format('%.17g', level)}
