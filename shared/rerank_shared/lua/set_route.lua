-- Writes a version of a route, if the route is still as the writer read it.
--
-- KEYS[1]  hash: Keys.routes
-- KEYS[2]  hash: Keys.route_versions of the route
-- ARGV[1]  name of the route
-- ARGV[2]  its record as it was read, '' where there was none
-- ARGV[3]  the new record, ARGV[4] its version, ARGV[5] the versions that are kept
-- Returns 1, or 0 where another writer came first; then nothing has changed.
-- The first write needs no memory, so that the others are not refused at the server's memory limit.
redis.call('HDEL', KEYS[1], '')
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[2], ARGV[4], ARGV[3])
redis.call('HDEL', KEYS[2], tonumber(ARGV[4]) - tonumber(ARGV[5]))
return 1
