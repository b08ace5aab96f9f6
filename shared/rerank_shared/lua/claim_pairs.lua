-- Claims pairs for a job, each unless it is claimed already, in one call; none that the server's memory limit refuses.
--
-- KEYS     string, one a pair: Keys.flight(digest)
-- ARGV[1]  the claim, as wire.encode_claim makes it
-- ARGV[2]  life-time in milliseconds
for _, key in ipairs(KEYS) do
  local answer = redis.pcall('SET', key, ARGV[1], 'NX', 'PX', ARGV[2])
  -- A claim that is there already answers false.
  if answer and answer.err then
    break
  end
end
return #KEYS
