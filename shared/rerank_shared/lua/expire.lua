-- Ends the leases of all jobs that a worker holds, so that the next sweep lets them wait again. Returns their number.
--
-- KEYS[1]  sorted set: Keys.leases
-- KEYS[2]  hash: Keys.lease_owners
-- ARGV[1]  worker id
-- The first write needs no memory, so that the others are not refused at the server's memory limit.
redis.call('ZREM', KEYS[1], '')
local ended = 0
local held = redis.call('HGETALL', KEYS[2])
for i = 1, #held, 2 do
  if held[i + 1] == ARGV[1] then
    redis.call('ZADD', KEYS[1], 'XX', 0, held[i])
    ended = ended + 1
  end
end
return ended
