-- Puts a copy of the stream of feedback, without what was deleted, in the stream's place. Redis only marks a deleted record;
-- its bytes go with the stream that held them.
--
-- KEYS[1]  stream: Keys.feedback
-- KEYS[2]  stream: Keys.feedback_copy, all records up to the one of ARGV[1]
-- KEYS[3]  sorted set: Keys.lifetimes
-- ARGV[1]  id of the last record that was copied
-- Returns 0, and changes nothing, where records were deleted since they were copied; else 1.
local newer = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+')
if redis.call('XLEN', KEYS[1]) - #newer ~= redis.call('XLEN', KEYS[2]) then
  return 0
end
for _, entry in ipairs(newer) do
  redis.call('XADD', KEYS[2], entry[1], unpack(entry[2]))
end
redis.call('ZREM', KEYS[3], KEYS[2])
if redis.call('XLEN', KEYS[2]) == 0 then
  redis.call('UNLINK', KEYS[1])
else
  redis.call('RENAME', KEYS[2], KEYS[1])
end
return 1
