-- Appends a record of feedback to its stream, and keeps the stream within its bounds of age, number and memory.
--
-- KEYS[1]  stream: Keys.feedback
-- KEYS[2]  sorted set: Keys.lifetimes
-- ARGV[1]  the record
-- ARGV[2]  how long records are kept, milliseconds
-- ARGV[3]  records that are kept, about
-- ARGV[4]  memory that they may take, about, bytes
-- Returns the id of the record.
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
-- Refused at the server's memory limit, and with it the whole script: feedback is not worth a job.
local id = redis.call('XADD', KEYS[1], '*', 'r', ARGV[1])
redis.call('ZADD', KEYS[2], string.format('%.3f', (now_ms + ARGV[2]) / 1000), KEYS[1])
-- Exact, unlike the bounds below: a record's time is a promise.
redis.call('XTRIM', KEYS[1], 'MINID', '=', string.format('%.0f', math.max(0, now_ms - ARGV[2])))
redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[3])
-- Where the server forbids the question, the bound in number is the only one.
local bytes = redis.pcall('MEMORY', 'USAGE', KEYS[1])
if type(bytes) == 'number' and bytes > tonumber(ARGV[4]) then
  local kept = math.floor(redis.call('XLEN', KEYS[1]) * tonumber(ARGV[4]) / bytes)
  redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', string.format('%.0f', kept))
end
return id
