-- The functions and keys that the scripts of the queue share; prepended to each of them. queue/scripts.py passes the
-- arguments.
--
-- KEYS     the keys of the queues, as queue/scripts.py lists them; those from the seventh on are prefixes
-- ARGV[1]  what the names of queues start with: a queue is named by its class and, behind '@', by its pool
local UNACKED, LEASES, OWNERS, LIFETIMES, DEAD, DEAD_INDEX = unpack(KEYS, 1, 6)
local DEATHS, TEXT, FAIR, WAKEUPS, WAITING, SERVED, ORDER = unpack(KEYS, 7, 13)
local QUEUES = ARGV[1]
local CLASSES = {'interactive', 'bulk'}

-- Returns what a queue is called without its start, the class in it, and its pool with the '@', '' for the common one.
local function parts(queue)
  local name = string.sub(queue, #QUEUES + 1)
  return name, string.match(name, '^%a+'), string.match(name, '@.*$') or ''
end

local function keys_of(queue)
  local name, class, pool = parts(queue)
  return {
    queue = queue, class = class, line = 'line:' .. class, fair = FAIR .. pool, wakeups = WAKEUPS .. name,
    waiting = WAITING .. name, served = SERVED .. name, order = ORDER .. name .. ':',
  }
end

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
local function place(queue, tag, deliveries, raw, due_at, tokens, tenant)
  local keys = keys_of(queue)
  redis.call('HSET', keys.waiting, tag, deliveries .. '|' .. raw)
  redis.call('ZADD', keys.order .. tenant, due_at, tag .. '|' .. tokens)
  redis.call('ZADD', keys.served, 'NX', redis.call('HGET', keys.fair, keys.line) or 0, tenant)
  redis.call('PERSIST', keys.served)
  redis.call('PERSIST', keys.fair)
  redis.call('LPUSH', keys.wakeups, tag)
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

local function table_or_empty(value)
  return type(value) == 'table' and value or {}
end

-- Returns a message's headers and the queue that it names; of one that cjson can't read, as JSON of other makers may be,
-- no headers, and the common queue of its class.
local function opened(raw, class)
  local fine, message = pcall(cjson.decode, raw)
  message = table_or_empty(fine and message)
  local queue = table_or_empty(table_or_empty(message.properties).delivery_info).routing_key
  if type(queue) ~= 'string' or string.sub(queue, 1, #QUEUES) ~= QUEUES or select(2, parts(queue)) ~= class then
    queue = QUEUES .. class
  end
  return table_or_empty(message.headers), queue
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
local function place_again(queue, tag, deliveries, raw, headers)
  local due_at, tokens = tonumber(headers.due_at) or now_s(), tonumber(headers.tokens) or 1
  place(queue, tag, deliveries, raw, exact(due_at), string.format('%.0f', tokens), text_or(headers.tenant, ''))
end
