-- Puts the jobs of one request on the queue with their texts, records and backlog entries, in one step. A full server
-- refuses the first write and so the whole script; if a later write is refused, the earlier ones are withdrawn.
--
-- KEYS[18]     sorted set: Keys.backlog of the class
-- KEYS[19]...  the strings to store, then the results to delete
-- ARGV[3]  class
-- ARGV[4]  tenant
-- ARGV[5]  due_at, epoch seconds
-- ARGV[6]  deadline, epoch seconds
-- ARGV[7]  number of jobs
-- ARGV[8]  number of strings
-- ARGV[9]...  of each job: delivery tag, message as JSON, tokens as a whole number, member of the backlog
-- then of each string: value, life-time in milliseconds, and 'claim' or ''. A claim is ended by Redis, and does not
-- replace one that exists.
local BACKLOG, KEYS_BEFORE = KEYS[18], 18
local class, tenant, due_at, deadline_at = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local jobs, strings = tonumber(ARGV[7]), tonumber(ARGV[8])
-- The writes of this call. A job that is sent again has the text and the backlog entry of the one that waits or runs,
-- which must stay.
local made_keys, made_members, made_jobs = {}, {}, {}

local function keep()
  local at = 9 + 4 * jobs
  for i = 1, strings do
    local key, value, life_ms, kind = KEYS[KEYS_BEFORE + i], ARGV[at], ARGV[at + 1], ARGV[at + 2]
    if redis.call('EXISTS', key) == 0 then
      table.insert(made_keys, key)
    end
    if kind == 'claim' then
      redis.call('SET', key, value, 'NX', 'PX', life_ms)
    else
      redis.call('ZADD', LIFETIMES, exact(now_s() + life_ms / 1000), key)
      redis.call('SET', key, value)
    end
    at = at + 3
  end
end

local function job(i)
  return ARGV[9 + 4 * i], ARGV[10 + 4 * i], ARGV[11 + 4 * i], ARGV[12 + 4 * i]
end

local function enqueue()
  for i = 0, jobs - 1 do
    local tag, raw, tokens, member = job(i)
    if redis.call('ZADD', BACKLOG, deadline_at, member) == 1 then
      table.insert(made_members, member)
    end
    -- A client whose connection broke before the answer calls again; meanwhile a worker may have taken the job.
    if redis.call('HEXISTS', UNACKED, tag) == 0 and redis.call('HEXISTS', WAITING[class], tag) == 0 then
      table.insert(made_jobs, i)
      place(class, tag, 0, raw, due_at, tokens, tenant)
    end
  end
  -- Clients read the backlog, and so prune it, only while all processes are busy: where one is always idle, entries of
  -- jobs that were never answered would stay.
  redis.call('ZREMRANGEBYSCORE', BACKLOG, '-inf', exact(now_s()))
  for i = KEYS_BEFORE + 1 + strings, #KEYS do
    end_key(KEYS[i])
  end
end

-- Errors are ignored here: a user who may run scripts may still be forbidden one of their commands.
local function withdraw()
  for _, member in ipairs(made_members) do
    redis.pcall('ZREM', BACKLOG, member)
  end
  for _, i in ipairs(made_jobs) do
    local tag, _, tokens = job(i)
    redis.pcall('HDEL', WAITING[class], tag)
    redis.pcall('LREM', WAKEUPS[class], 1, tag)
    redis.pcall('ZREM', ORDER[class] .. tenant, tag .. '|' .. tokens)
  end
  for _, key in ipairs(made_keys) do
    redis.pcall('UNLINK', key)
    redis.pcall('ZREM', LIFETIMES, key)
  end
end

local done, refusal = pcall(function() keep() enqueue() end)
if not done then
  withdraw()
  return type(refusal) == 'table' and refusal or redis.error_reply(refusal)
end
return jobs
