-- Claims pairs for a job, each unless it is claimed already, in one call.
--
-- KEYS     string, one a pair: Keys.flight(digest)
-- ARGV[1]  the claim, as wire.encode_claim makes it
-- ARGV[2]  life-time in milliseconds
for _, key in ipairs(KEYS) do
  redis.call('SET', key, ARGV[1], 'NX', 'PX', ARGV[2])
end
return #KEYS
