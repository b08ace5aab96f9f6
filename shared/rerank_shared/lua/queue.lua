-- The functions and keys that the scripts of the queue share; prepended to each of them. queue/scripts.py passes the
-- arguments.
--
-- KEYS     the keys of the queue, as queue/scripts.py lists them; four are prefixes to which a name is appended
-- ARGV[1]  name of the queue of class interactive, ARGV[2] that of bulk, as messages spell them
local UNACKED, LEASES, OWNERS, FAIR = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local DEAD, DEAD_INDEX, DEATHS, TEXT = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local CLASSES = {'interactive', 'bulk'}
local QUEUE, WAKEUPS, WAITING, SERVED, ORDER = {}, {}, {}, {}, {}
for i, class in ipairs(CLASSES) do
  QUEUE[class] = ARGV[i]
  WAKEUPS[class], WAITING[class] = KEYS[4 * i + 5], KEYS[4 * i + 6]
  SERVED[class], ORDER[class] = KEYS[4 * i + 7], KEYS[4 * i + 8]
end
local LIFETIMES = KEYS[17]

-- First call of each script that must run at the server's memory limit too: there a script's first write is refused if
-- it may need memory, and later writes never are.
local function write_at_any_limit()
  redis.call('HDEL', OWNERS, '')
end

-- The server's clock, so that no worker's clock can end a lease.
local function now_s()
  local now = redis.call('TIME')
  return now[1] + now[2] / 1000000
end

local function exact(number)
  return string.format('%.17g', number)
end

local function end_key(key)
  redis.call('UNLINK', key)
  redis.call('ZREM', LIFETIMES, key)
end

-- Lets a job wait, and adds a wake-up; `deliveries` says how often it was taken before.
local function place(class, tag, deliveries, raw, due_at, tokens, tenant)
  redis.call('HSET', WAITING[class], tag, deliveries .. '|' .. raw)
  redis.call('ZADD', ORDER[class] .. tenant, due_at, tag .. '|' .. tokens)
  redis.call('ZADD', SERVED[class], 'NX', redis.call('HGET', FAIR, 'line:' .. class) or 0, tenant)
  redis.call('PERSIST', SERVED[class])
  redis.call('PERSIST', FAIR)
  redis.call('LPUSH', WAKEUPS[class], tag)
end

-- Returns how often a waiting job was taken before, and its message; older releases wrote the message alone.
local function read_waiting(entry)
  local deliveries, raw = string.match(entry, '^(%d+)|(.*)$')
  return tonumber(deliveries or 0), raw or entry
end

-- Returns class, deliveries and message of a job that was taken.
local function read_taken(entry)
  return string.match(entry, '^(%a+)|(%d+)|(.*)$')
end

-- Returns a message's headers; none for a message that cjson can't read, as JSON of other makers may be.
local function headers_of(raw)
  local fine, message = pcall(cjson.decode, raw)
  local headers = fine and type(message) == 'table' and message.headers
  return type(headers) == 'table' and headers or {}
end

local function text_or(value, default)
  return type(value) == 'string' and value or default
end

local function settle(tag)
  redis.call('ZREM', LEASES, tag)
  redis.call('HDEL', OWNERS, tag)
  return redis.call('HDEL', UNACKED, tag) == 1
end

-- Lets a taken job wait again, in its old place.
local function place_again(class, tag, deliveries, raw, headers)
  local due_at, tokens = tonumber(headers.due_at) or now_s(), tonumber(headers.tokens) or 1
  place(class, tag, deliveries, raw, exact(due_at), string.format('%.0f', tokens), text_or(headers.tenant, ''))
end
