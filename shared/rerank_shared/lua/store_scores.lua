-- Writes scores to the cache, each with a life-time, in one call; stops at the first that the memory limit refuses.
--
-- KEYS     string, one a score: Keys.score(digest)
-- ARGV[1]  life-time in seconds
-- ARGV[i + 1]  the 7 bytes of the score for KEYS[i], as wire.encode_score makes them
for i, key in ipairs(KEYS) do
  if redis.pcall('SET', key, ARGV[i + 1], 'EX', ARGV[1]).err then
    break
  end
end
return #KEYS
