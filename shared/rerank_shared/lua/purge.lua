-- Empties the queue of a class. Returns the number of jobs that waited, plain Celery senders' messages included.
--
-- ARGV[3]  class
local class = ARGV[3]
local count = math.max(redis.call('HLEN', WAITING[class]), redis.call('LLEN', WAKEUPS[class]))
for _, tenant in ipairs(redis.call('ZRANGE', SERVED[class], 0, -1)) do
  redis.call('DEL', ORDER[class] .. tenant)
end
redis.call('DEL', WAITING[class], WAKEUPS[class], SERVED[class])
redis.call('HDEL', FAIR, 'line:' .. class, 'credit')
return count
