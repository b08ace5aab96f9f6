-- Ends the leases that have run out: each job waits again, or becomes a dead letter at its last allowed death. Deletes
-- keys whose life-time is over, and dead letters that are too old. Returns the records of the new dead letters.
--
-- ARGV[3]  life-time of a lease, seconds
-- ARGV[4]  leases and dead letters to look at, at most
-- ARGV[5]  deaths at which a job is set aside
-- ARGV[6]  life-time of a count of deaths, seconds
-- ARGV[7]  life-time of a dead letter, seconds
-- ARGV[8]  dead letters to keep, at most
-- ARGV[9]  keys to delete, at most
local now = now_s()

local function drop(job_ids)
  for _, job_id in ipairs(job_ids) do
    redis.call('HDEL', DEAD, job_id)
    redis.call('ZREM', DEAD_INDEX, job_id)
    end_key(TEXT .. job_id)
  end
end

local function set_aside(job_id, class, raw, deaths, owner)
  local record = cmsgpack.pack({1, 'dead', {job_id, QUEUE[class], raw, deaths, owner, exact(now)}})
  redis.call('HSET', DEAD, job_id, record)
  redis.call('ZADD', DEAD_INDEX, exact(now), job_id)
  -- The text lives exactly as long as the dead letter.
  redis.call('ZREM', LIFETIMES, TEXT .. job_id)
  -- Earlier releases gave all three a life-time.
  for _, key in ipairs({TEXT .. job_id, DEAD, DEAD_INDEX}) do
    redis.call('PERSIST', key)
  end
  local surplus = redis.call('ZCARD', DEAD_INDEX) - ARGV[8]
  if surplus > 0 then
    drop(redis.call('ZRANGE', DEAD_INDEX, 0, surplus - 1))
  end
  return record
end

write_at_any_limit()
for _, key in ipairs(redis.call('ZRANGEBYSCORE', LIFETIMES, '-inf', exact(now), 'LIMIT', 0, ARGV[9])) do
  end_key(key)
end
drop(redis.call('ZRANGEBYSCORE', DEAD_INDEX, '-inf', exact(now - ARGV[7]), 'LIMIT', 0, ARGV[4]))
local dead = {}
local overdue = redis.call('ZRANGEBYSCORE', LEASES, '-inf', exact(now - ARGV[3]), 'LIMIT', 0, ARGV[4])
for _, tag in ipairs(overdue) do
  local entry = redis.call('HGET', UNACKED, tag)
  if entry then
    local class, deliveries, raw = read_taken(entry)
    local owner = redis.call('HGET', OWNERS, tag) or ''
    local headers = headers_of(raw)
    local job_id = text_or(headers.id, tag)
    local deaths = redis.call('INCR', DEATHS .. job_id)
    redis.call('EXPIRE', DEATHS .. job_id, ARGV[6])
    settle(tag)
    if deaths >= tonumber(ARGV[5]) then
      dead[#dead + 1] = set_aside(job_id, class, raw, deaths, owner)
    else
      place_again(class, tag, deliveries, raw, headers)
    end
  else
    settle(tag)
  end
end
return dead
