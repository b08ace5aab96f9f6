-- Puts the jobs of one request on the queue with their texts, records and backlog entries, in one step. A full server
-- refuses the first write and so the whole script; if a later write is refused, the earlier ones are withdrawn.
--
-- KEYS[14]     sorted set: Keys.backlog of the queue
-- KEYS[15]     hash: Keys.backlog_sums of the queue
-- KEYS[16]...  the strings to store, then the results to delete
-- ARGV[2]  queue
-- ARGV[3]  tenant
-- ARGV[4]  due_at, epoch seconds
-- ARGV[5]  deadline, epoch seconds
-- ARGV[6]  number of jobs
-- ARGV[7]  number of strings
-- ARGV[8]...  of each job: delivery tag, message as JSON, tokens as a whole number, member of the backlog
-- then of each string: value, life-time in milliseconds, and 'claim' or ''. A claim is ended by Redis, and does not
-- replace one that exists.
local BACKLOG, SUMS, KEYS_BEFORE = KEYS[14], KEYS[15], 15
local queue, tenant, due_at, deadline_at = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local keys = keys_of(queue)
local jobs, strings = tonumber(ARGV[6]), tonumber(ARGV[7])
-- The writes of this call. A job that is sent again has the text and the backlog entry of the one that waits or runs,
-- which must stay.
local made_keys, made_members, made_jobs = {}, {}, {}

local function keep()
  local at = 8 + 4 * jobs
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
  return unpack(ARGV, 8 + 4 * i, 11 + 4 * i)
end

local function enqueue()
  for i = 0, jobs - 1 do
    local tag, raw, tokens, member = job(i)
    if redis.call('ZADD', BACKLOG, deadline_at, member) == 1 then
      table.insert(made_members, member)
    end
    -- A client whose connection broke before the answer calls again; meanwhile a worker may have taken the job.
    if redis.call('HEXISTS', UNACKED, tag) == 0 and redis.call('HEXISTS', keys.waiting, tag) == 0 then
      table.insert(made_jobs, i)
      place(queue, tag, 0, raw, due_at, tokens, tenant)
    end
  end
  -- Clients read the backlog, and so prune it, only while all processes are busy: where one is always idle, entries of
  -- jobs that were never answered would stay.
  drop_overdue(BACKLOG, SUMS, exact(now_s()))
  for i = KEYS_BEFORE + 1 + strings, #KEYS do
    end_key(KEYS[i])
  end
  sum_up(SUMS, made_members, 1)
end

-- Errors are ignored here: a user who may run scripts may still be forbidden one of their commands.
local function withdraw()
  for _, member in ipairs(made_members) do
    redis.pcall('ZREM', BACKLOG, member)
  end
  for _, i in ipairs(made_jobs) do
    local tag, _, tokens = job(i)
    redis.pcall('HDEL', keys.waiting, tag)
    redis.pcall('LREM', keys.wakeups, 1, tag)
    redis.pcall('ZREM', keys.order .. tenant, tag .. '|' .. tokens)
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
