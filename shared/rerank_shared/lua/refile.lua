-- Moves a job that waits, or that a worker has taken, to another queue of its class, where it waits. Returns whether it
-- was found. Its entry in the backlog stays where its sender looks for it.
--
-- ARGV[2]  queue that it was sent to or taken from
-- ARGV[3]  queue that it moves to
-- ARGV[4]  delivery tag
-- ARGV[5]  message, JSON, which names the new queue
-- ARGV[6]  due_at, epoch seconds
-- ARGV[7]  tokens, a whole number
-- ARGV[8]  tenant
local from, to, tag, raw, due_at, tokens, tenant = keys_of(ARGV[2]), unpack(ARGV, 3, 8)

write_at_any_limit()
local deliveries
local taken, waiting = redis.call('HGET', UNACKED, tag), redis.call('HGET', from.waiting, tag)
if taken then
  local _, count = read_taken(taken)
  -- The one who moves it has not worked on it.
  deliveries = count - 1
  settle(tag)
elseif waiting then
  deliveries = read_waiting(waiting)
  redis.call('HDEL', from.waiting, tag)
  redis.call('ZREM', from.order .. tenant, tag .. '|' .. tokens)
else
  return 0
end
place(to, tag, deliveries, raw, due_at, tokens, tenant)
return 1
