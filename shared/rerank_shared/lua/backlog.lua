-- The sums of a backlog, which scripts keep beside its entries; prepended to those that add or remove one.
--
-- `sums` is a hash: a second of due_at -> `jobs|pairs|tokens|tokens_longest|oldest|first due|last due` of the entries
-- that are due within it. The last three are not taken back when an entry leaves. queue/backlog.py spells the entries,
-- and has a twin of this in Python.
local OVERDUE_READ = 100

-- Returns the second in which an entry is due, its work, and when it was enqueued. Older releases wrote no time of
-- sending, or the tokens alone.
local function read_entry(member)
  local rest, tokens, longest, pairs, due_at =
    string.match(member, '^(.*)|(%d+%.?%d*)|(%d+%.?%d*)|(%d+%.?%d*)|(%d+%.?%d*)$')
  if not rest then
    return '0', 0, tonumber(string.match(member, '^[^|]*|(%d+%.?%d*)$') or 0), 0, 0, 0
  end
  local since = tonumber(string.match(rest, '|@(%d+%.%d%d%d)$') or 0)
  return string.match(due_at, '^%d+'), tonumber(pairs), tonumber(tokens), tonumber(longest), since, tonumber(due_at)
end

local function earlier(since, other)
  if since == 0 or other == 0 then
    return math.max(since, other)
  end
  return math.min(since, other)
end

local function read_line(line)
  local jobs, pairs, tokens, longest, oldest, first, last =
    string.match(line or '', '^(%d+)|(%d+)|(%d+)|(%d+)|(%d+%.%d+)|(%d+%.%d+)|(%d+%.%d+)$')
  return {
    jobs = jobs or 0, pairs = pairs or 0, tokens = tokens or 0, longest = longest or 0, oldest = tonumber(oldest or 0),
    first = tonumber(first or math.huge), last = tonumber(last or 0),
  }
end

-- Adds entries to the sums, or takes them out where `sign` is -1.
local function sum_up(sums, members, sign)
  local lines = {}
  for _, member in ipairs(members) do
    local second, pairs, tokens, longest, since, due_at = read_entry(member)
    local line = lines[second] or read_line(redis.call('HGET', sums, second))
    lines[second] = {
      jobs = line.jobs + sign, pairs = line.pairs + sign * pairs, tokens = line.tokens + sign * tokens,
      longest = line.longest + sign * longest, oldest = line.oldest, first = line.first, last = line.last,
    }
    if sign > 0 then
      line = lines[second]
      line.oldest = earlier(line.oldest, since)
      line.first, line.last = math.min(line.first, due_at), math.max(line.last, due_at)
    end
  end
  for second, line in pairs(lines) do
    if line.jobs > 0 then
      local spelled = string.format('%.0f|%.0f|%.0f|%.0f|%.3f|%.3f|%.3f', line.jobs, line.pairs, line.tokens,
        line.longest, line.oldest, line.first, line.last)
      redis.call('HSET', sums, second, spelled)
    else
      redis.call('HDEL', sums, second)
    end
  end
end

local function uncount(backlog, sums, member)
  if redis.call('ZREM', backlog, member) == 1 then
    sum_up(sums, {member}, -1)
  end
end

-- Drops the entries that stopped counting before `now`. Many at once, as after an outage, leave without being read; who
-- reads the sums next makes them anew of the others.
local function drop_overdue(backlog, sums, now)
  local overdue = redis.call('ZRANGEBYSCORE', backlog, '-inf', now, 'LIMIT', 0, OVERDUE_READ)
  if #overdue == 0 then
    return
  end
  redis.call('ZREMRANGEBYSCORE', backlog, '-inf', now)
  if #overdue == OVERDUE_READ then
    redis.call('DEL', sums)
  else
    sum_up(sums, overdue, -1)
  end
end
