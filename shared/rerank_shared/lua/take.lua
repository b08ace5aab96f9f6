-- Takes the next job by the rules of scheduling/fairness.py, under a lease. Returns its queue, its message, how often
-- it was taken before and how many of those leases ran out; nothing if no job waits, or none that may be taken.
--
-- ARGV[3]  id of the worker that takes it
-- ARGV[4]  take it only if it is due before this, epoch seconds; '' for any
-- ARGV[5]  bulk's share of the tokens while both classes wait
-- ARGV[6]  life-time of the fairness state of an empty queue, seconds
-- ARGV[7]  class that is consumed, ARGV[8] another
local WAKEUPS_A_CALL = 100

-- Returns the most urgent job of the tenant with the fewest tokens served, nil where no job waits.
local function candidate(class)
  while redis.call('HLEN', WAITING[class]) > 0 do
    local tenant, had = unpack(redis.call('ZRANGE', SERVED[class], 0, 0, 'WITHSCORES'))
    if not tenant then
      return nil
    end
    local member, due_at = unpack(redis.call('ZRANGE', ORDER[class] .. tenant, 0, 0, 'WITHSCORES'))
    if member then
      redis.call('HSET', FAIR, 'line:' .. class, had)
      local tag, tokens = string.match(member, '^(.*)|(%d+)$')
      return {class = class, tenant = tenant, member = member, tag = tag, tokens = tonumber(tokens), due_at = due_at}
    end
    redis.call('ZREM', SERVED[class], tenant)
  end
end

local function choose(interactive, bulk)
  if not bulk then
    if redis.call('HLEN', WAITING.bulk) == 0 then
      redis.call('HDEL', FAIR, 'credit')
    end
    return interactive
  end
  local credit = tonumber(redis.call('HGET', FAIR, 'credit') or 0)
  if interactive and credit < bulk.tokens then
    return interactive
  end
  return bulk
end

local function count_served(job, other)
  redis.call('ZINCRBY', SERVED[job.class], job.tokens, job.tenant)
  if other then
    local credit, share = tonumber(redis.call('HGET', FAIR, 'credit') or 0), tonumber(ARGV[5])
    if job.class == 'interactive' then
      credit = credit + job.tokens * share / (1.0 - share)
    else
      credit = credit - job.tokens
    end
    redis.call('HSET', FAIR, 'credit', exact(credit))
  end
end

-- Restores one wake-up a waiting job: some are lost with consumers that die, others are left over by a take without
-- one.
local function wake(class)
  local gap = redis.call('HLEN', WAITING[class]) - redis.call('LLEN', WAKEUPS[class])
  for _ = 1, math.min(gap, WAKEUPS_A_CALL) do
    redis.call('LPUSH', WAKEUPS[class], '')
  end
  for _ = 1, math.min(-gap, WAKEUPS_A_CALL) do
    -- A plain Celery sender's message may be at either end, and is no wake-up.
    if string.sub(redis.call('LINDEX', WAKEUPS[class], -1), 1, 1) ~= '{' then
      redis.call('RPOP', WAKEUPS[class])
    elseif string.sub(redis.call('LINDEX', WAKEUPS[class], 0), 1, 1) ~= '{' then
      redis.call('LPOP', WAKEUPS[class])
    else
      break
    end
  end
end

local function forget()
  local empty = 0
  for _, class in ipairs(CLASSES) do
    if redis.call('HLEN', WAITING[class]) == 0 then
      redis.call('EXPIRE', SERVED[class], ARGV[6])
      empty = empty + 1
    end
  end
  if empty == #CLASSES then
    redis.call('EXPIRE', FAIR, ARGV[6])
  end
end

local function take(job)
  local deliveries, raw = read_waiting(redis.call('HGET', WAITING[job.class], job.tag))
  redis.call('HDEL', WAITING[job.class], job.tag)
  redis.call('ZREM', ORDER[job.class] .. job.tenant, job.member)
  redis.call('HSET', UNACKED, job.tag, job.class .. '|' .. (deliveries + 1) .. '|' .. raw)
  redis.call('ZADD', LEASES, exact(now_s()), job.tag)
  redis.call('HSET', OWNERS, job.tag, ARGV[3])
  local deaths = 0
  if deliveries > 0 then
    deaths = tonumber(redis.call('GET', DEATHS .. text_or(headers_of(raw).id, job.tag)) or 0)
  end
  return {QUEUE[job.class], raw, deliveries, deaths}
end

write_at_any_limit()
local found = {}
for i = 7, #ARGV do
  found[ARGV[i]] = candidate(ARGV[i])
end
local taken = false
local job = (found.interactive or found.bulk) and choose(found.interactive, found.bulk)
if job and (ARGV[4] == '' or tonumber(job.due_at) < tonumber(ARGV[4])) then
  taken = take(job)
  count_served(job, found.interactive and found.bulk)
end
for _, class in ipairs(CLASSES) do
  wake(class)
end
forget()
return taken
