-- Renews leases that still exist, by the server's clock. Returns the number of those that do not.
--
-- KEYS[1]     sorted set: Keys.leases
-- ARGV[1]...  delivery tags
-- The first write needs no memory, so that the others are not refused at the server's memory limit.
redis.call('ZREM', KEYS[1], '')
local now = redis.call('TIME')
local lost = 0
for _, tag in ipairs(ARGV) do
  if redis.call('ZSCORE', KEYS[1], tag) then
    redis.call('ZADD', KEYS[1], now[1] + now[2] / 1000000, tag)
  else
    lost = lost + 1
  end
end
return lost
