-- Takes the next job of the first pool that has one, by the rules of scheduling/fairness.py, under a lease. A pool with
-- an interactive job comes before the others. Returns the job's queue, its message, how often it was taken before and
-- how many of those leases ran out; nothing if no job waits, or none that may be taken.
--
-- ARGV[2]     id of the worker that takes it
-- ARGV[3]     take it only if it is due before this, epoch seconds; '' for any
-- ARGV[4]     bulk's share of a pool's tokens while both classes wait
-- ARGV[5]     life-time of the fairness state of an empty queue, seconds
-- ARGV[6]...  queues that are consumed; those of a pool stand together
local WAKEUPS_A_CALL = 100

local owner, before, bulk_share, fair_life_s = unpack(ARGV, 2, 5)

-- Returns the most urgent job of the tenant with the fewest tokens served, nil where no job waits.
local function candidate(keys)
  while redis.call('HLEN', keys.waiting) > 0 do
    local tenant, had = unpack(redis.call('ZRANGE', keys.served, 0, 0, 'WITHSCORES'))
    if not tenant then
      return nil
    end
    local member, due_at = unpack(redis.call('ZRANGE', keys.order .. tenant, 0, 0, 'WITHSCORES'))
    if member then
      redis.call('HSET', keys.fair, keys.line, had)
      local tag, tokens = string.match(member, '^(.*)|(%d+)$')
      return {keys = keys, tenant = tenant, member = member, tag = tag, tokens = tonumber(tokens), due_at = due_at}
    end
    redis.call('ZREM', keys.served, tenant)
  end
end

local function choose(pool, interactive, bulk)
  if not bulk then
    if redis.call('HLEN', pool.bulk.waiting) == 0 then
      redis.call('HDEL', pool.bulk.fair, 'credit')
    end
    return interactive
  end
  local credit = tonumber(redis.call('HGET', pool.bulk.fair, 'credit') or 0)
  if interactive and credit < bulk.tokens then
    return interactive
  end
  return bulk
end

local function count_served(job)
  redis.call('ZINCRBY', job.keys.served, job.tokens, job.tenant)
  if job.other_waits then
    local credit, share = tonumber(redis.call('HGET', job.keys.fair, 'credit') or 0), tonumber(bulk_share)
    if job.keys.class == 'interactive' then
      credit = credit + job.tokens * share / (1.0 - share)
    else
      credit = credit - job.tokens
    end
    redis.call('HSET', job.keys.fair, 'credit', exact(credit))
  end
end

-- Restores one wake-up a waiting job: some are lost with consumers that die, others are left over by a take without
-- one.
local function wake(keys)
  local gap = redis.call('HLEN', keys.waiting) - redis.call('LLEN', keys.wakeups)
  for _ = 1, math.min(gap, WAKEUPS_A_CALL) do
    redis.call('LPUSH', keys.wakeups, '')
  end
  for _ = 1, math.min(-gap, WAKEUPS_A_CALL) do
    -- A plain Celery sender's message may be at either end, and is no wake-up.
    if string.sub(redis.call('LINDEX', keys.wakeups, -1), 1, 1) ~= '{' then
      redis.call('RPOP', keys.wakeups)
    elseif string.sub(redis.call('LINDEX', keys.wakeups, 0), 1, 1) ~= '{' then
      redis.call('LPOP', keys.wakeups)
    else
      break
    end
  end
end

local function forget(pool)
  local empty = 0
  for _, class in ipairs(CLASSES) do
    if redis.call('HLEN', pool[class].waiting) == 0 then
      redis.call('EXPIRE', pool[class].served, fair_life_s)
      empty = empty + 1
    end
  end
  if empty == #CLASSES then
    redis.call('EXPIRE', pool.bulk.fair, fair_life_s)
  end
end

local function take(job)
  local keys = job.keys
  local deliveries, raw = read_waiting(redis.call('HGET', keys.waiting, job.tag))
  redis.call('HDEL', keys.waiting, job.tag)
  redis.call('ZREM', keys.order .. job.tenant, job.member)
  redis.call('HSET', UNACKED, job.tag, keys.class .. '|' .. (deliveries + 1) .. '|' .. raw)
  redis.call('ZADD', LEASES, exact(now_s()), job.tag)
  redis.call('HSET', OWNERS, job.tag, owner)
  local deaths = 0
  if deliveries > 0 then
    deaths = tonumber(redis.call('GET', DEATHS .. text_or(opened(raw, keys.class).id, job.tag)) or 0)
  end
  return {keys.queue, raw, deliveries, deaths}
end

-- Returns the pools of the queues in their order; each with the keys of both classes, and which are consumed.
local function consumed_pools()
  local pools, last = {}, nil
  for i = 6, #ARGV do
    local _, class, name = parts(ARGV[i])
    if name ~= last then
      local pool = {consumed = {}}
      for _, each in ipairs(CLASSES) do
        pool[each] = keys_of(QUEUES .. each .. name)
      end
      table.insert(pools, pool)
      last = name
    end
    pools[#pools].consumed[class] = true
  end
  return pools
end

-- Returns the job that a pool would give next, nil for none that may be taken.
local function next_of(pool)
  local interactive = pool.consumed.interactive and candidate(pool.interactive)
  local bulk = pool.consumed.bulk and candidate(pool.bulk)
  local job = (interactive or bulk) and choose(pool, interactive, bulk)
  if job and (before == '' or tonumber(job.due_at) < tonumber(before)) then
    job.other_waits = interactive and bulk
    return job
  end
end

write_at_any_limit()
local job, asked = nil, {}
for _, pool in ipairs(consumed_pools()) do
  -- A job of a pool that was asked before is bulk.
  local found = next_of(pool)
  job = (not job or found and found.keys.class == 'interactive') and found or job
  table.insert(asked, pool)
  if job and job.keys.class == 'interactive' then
    break
  end
end
local taken = job and take(job) or false
if job then
  count_served(job)
end
for _, pool in ipairs(asked) do
  for _, class in ipairs(CLASSES) do
    wake(pool[class])
  end
  forget(pool)
end
return taken
