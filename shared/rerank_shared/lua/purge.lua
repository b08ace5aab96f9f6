-- Empties a queue. Returns the number of jobs that waited, plain Celery senders' messages included.
--
-- ARGV[2]  queue
local keys = keys_of(ARGV[2])
local count = math.max(redis.call('HLEN', keys.waiting), redis.call('LLEN', keys.wakeups))
for _, tenant in ipairs(redis.call('ZRANGE', keys.served, 0, -1)) do
  redis.call('DEL', keys.order .. tenant)
end
redis.call('DEL', keys.waiting, keys.wakeups, keys.served)
redis.call('HDEL', keys.fair, keys.line, 'credit')
return count
