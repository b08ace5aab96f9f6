-- Ends the leases that have run out: each job waits again, or becomes a dead letter at its last allowed death. Deletes
-- keys whose life-time is over, and dead letters that are too old. Returns the records of the new dead letters.
--
-- ARGV[2]  life-time of a lease, seconds
-- ARGV[3]  leases and dead letters to look at, at most
-- ARGV[4]  deaths at which a job is set aside
-- ARGV[5]  life-time of a count of deaths, seconds
-- ARGV[6]  life-time of a dead letter, seconds
-- ARGV[7]  dead letters to keep, at most
-- ARGV[8]  keys to delete, at most
local now = now_s()

local function drop(job_ids)
  for _, job_id in ipairs(job_ids) do
    redis.call('HDEL', DEAD, job_id)
    redis.call('ZREM', DEAD_INDEX, job_id)
    end_key(TEXT .. job_id)
  end
end

local function set_aside(job_id, queue, raw, deaths, owner)
  local record = cmsgpack.pack({1, 'dead', {job_id, queue, raw, deaths, owner, exact(now)}})
  redis.call('HSET', DEAD, job_id, record)
  redis.call('ZADD', DEAD_INDEX, exact(now), job_id)
  -- The text lives exactly as long as the dead letter.
  redis.call('ZREM', LIFETIMES, TEXT .. job_id)
  -- Earlier releases gave all three a life-time.
  for _, key in ipairs({TEXT .. job_id, DEAD, DEAD_INDEX}) do
    redis.call('PERSIST', key)
  end
  local surplus = redis.call('ZCARD', DEAD_INDEX) - ARGV[7]
  if surplus > 0 then
    drop(redis.call('ZRANGE', DEAD_INDEX, 0, surplus - 1))
  end
  return record
end

write_at_any_limit()
for _, key in ipairs(redis.call('ZRANGEBYSCORE', LIFETIMES, '-inf', exact(now), 'LIMIT', 0, ARGV[8])) do
  end_key(key)
end
drop(redis.call('ZRANGEBYSCORE', DEAD_INDEX, '-inf', exact(now - ARGV[6]), 'LIMIT', 0, ARGV[3]))
local dead = {}
local overdue = redis.call('ZRANGEBYSCORE', LEASES, '-inf', exact(now - ARGV[2]), 'LIMIT', 0, ARGV[3])
for _, tag in ipairs(overdue) do
  local entry = redis.call('HGET', UNACKED, tag)
  if entry then
    local class, deliveries, raw = read_taken(entry)
    local owner = redis.call('HGET', OWNERS, tag) or ''
    local headers, queue = opened(raw, class)
    local job_id = text_or(headers.id, tag)
    local deaths = redis.call('INCR', DEATHS .. job_id)
    redis.call('EXPIRE', DEATHS .. job_id, ARGV[5])
    settle(tag)
    if deaths >= tonumber(ARGV[4]) then
      dead[#dead + 1] = set_aside(job_id, queue, raw, deaths, owner)
    else
      place_again(queue, tag, deliveries, raw, headers)
    end
  else
    settle(tag)
  end
end
return dead
