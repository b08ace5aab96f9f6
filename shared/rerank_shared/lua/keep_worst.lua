-- Keeps the worst of what is told under names: of a name its lowest rank, of all names the few with the lowest.
--
-- KEYS[1]  hash, name -> `rank|record`: Keys.shadow_worst
-- ARGV[1]  names that are kept
-- ARGV[2]  how long the hash lives after this, seconds
-- ARGV[3…] a name and its `rank|record`, in turn
local function rank_of(value)
  return tonumber(string.match(value, '^[^|]*')) or math.huge
end

local ranks, names = {}, {}
local stored = redis.call('HGETALL', KEYS[1])
for i = 1, #stored, 2 do
  ranks[stored[i]] = rank_of(stored[i + 1])
  names[#names + 1] = stored[i]
end
for i = 3, #ARGV, 2 do
  local name, rank = ARGV[i], rank_of(ARGV[i + 1])
  if not ranks[name] then
    names[#names + 1] = name
  end
  if not ranks[name] or rank <= ranks[name] then
    redis.call('HSET', KEYS[1], name, ARGV[i + 1])
    ranks[name] = rank
  end
end
table.sort(names, function(one, other)
  return ranks[one] < ranks[other]
end)
for i = tonumber(ARGV[1]) + 1, #names do
  redis.call('HDEL', KEYS[1], names[i])
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
