-- Ends a job in one step: writes its scores to the cache, stores and announces its outcome, ends its lease, and deletes
-- its other keys. At the server's memory limit the scores are left out; the rest frees more memory than it takes.
--
-- KEYS[14]     string: Keys.result
-- KEYS[15]     sorted set: Keys.backlog of the queue that it was sent to
-- KEYS[16]     hash: Keys.backlog_sums of the same
-- KEYS[17]...  string, one a score: Keys.score(digest)
-- ARGV[2]      job id
-- ARGV[3]      delivery tag to acknowledge; '' for none
-- ARGV[4]      entry in the backlog to remove; '' for none
-- ARGV[5]      'text' to delete the text under its own key
-- ARGV[6]      outcome as the result backend spells it; '' for none
-- ARGV[7]      seconds to keep it; '' for ever
-- ARGV[8]      'lasting' if no server may evict it before
-- ARGV[9]      channel on which it is announced besides the job's own; '' for none
-- ARGV[10]     life-time of a score, seconds
-- ARGV[i + 10] the 7 bytes of the score for KEYS[i + 16], as wire.encode_score makes them
local RESULT, BACKLOG, SUMS, KEYS_BEFORE, ARGV_BEFORE = KEYS[14], KEYS[15], KEYS[16], 16, 10
local job_id, tag, member, text, record, life_s, lasting, channel = unpack(ARGV, 2, 9)

for i = 1, #KEYS - KEYS_BEFORE do
  if redis.pcall('SET', KEYS[KEYS_BEFORE + i], ARGV[ARGV_BEFORE + i], 'EX', ARGV[10]).err then
    break
  end
end

local settled = settle(tag)
if tag ~= '' then
  redis.call('DEL', DEATHS .. job_id)
end
if member ~= '' then
  uncount(BACKLOG, SUMS, member)
end
if text == 'text' then
  end_key(TEXT .. job_id)
end

if record ~= '' then
  if life_s == '' then
    redis.call('SET', RESULT, record)
  elseif lasting == 'lasting' then
    redis.call('ZADD', LIFETIMES, exact(now_s() + life_s), RESULT)
    redis.call('SET', RESULT, record)
  else
    redis.call('SET', RESULT, record, 'EX', life_s)
  end
  redis.call('PUBLISH', RESULT, record)
  if channel ~= '' then
    redis.call('PUBLISH', channel, record)
  end
end
return settled and 1 or 0
