-- Runs commands in one step, at the server's memory limit too. There a script's first write is refused if it may need
-- memory, and later writes never are. A transaction is refused whatever is in it.
--
-- KEYS[1]    hash: Keys.lease_owners; nothing is changed in it
-- ARGV[1]    'all': run every command; 'some': leave out the first that the limit refuses and those after it
-- ARGV[2]... each command: the number of its words, then the words
local run = redis.pcall
if ARGV[1] == 'all' then
  redis.call('HDEL', KEYS[1], '')
  run = redis.call
end
local at = 2
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  local answer = run(unpack(ARGV, at + 1, at + count))
  if type(answer) == 'table' and answer.err then
    break
  end
  at = at + count + 1
end
