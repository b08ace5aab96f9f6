-- Returns the sums of a backlog. Entries past their deadline are dropped. Where clients or workers of an earlier
-- release, which keep no sums, changed the entries, the sums are made anew. Reading many entries holds up the server, so
-- such sums are then given out for a while whether they agree or not.
--
-- KEYS[1]  sorted set: Keys.backlog
-- KEYS[2]  hash: Keys.backlog_sums
-- ARGV[1]  epoch seconds
local BACKLOG, SUMS = KEYS[1], KEYS[2]
-- Some ten times what reading an entry takes.
local PAUSE_PER_ENTRY_MS = 0.1

drop_overdue(BACKLOG, SUMS, ARGV[1])
local found, jobs = redis.call('HGETALL', SUMS), 0
for i = 2, #found, 2 do
  jobs = jobs + read_line(found[i]).jobs
end
local entries = redis.call('ZCARD', BACKLOG)
if jobs == entries then
  redis.call('PERSIST', SUMS)
elseif redis.call('PTTL', SUMS) <= 0 then
  redis.call('DEL', SUMS)
  sum_up(SUMS, redis.call('ZRANGE', BACKLOG, 0, -1), 1)
  redis.call('PEXPIRE', SUMS, math.ceil(entries * PAUSE_PER_ENTRY_MS) + 1)
  found = redis.call('HGETALL', SUMS)
end
return found
