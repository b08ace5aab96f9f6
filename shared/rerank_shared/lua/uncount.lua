-- Removes an entry from a backlog.
--
-- KEYS[1]  sorted set: Keys.backlog
-- KEYS[2]  hash: Keys.backlog_sums
-- ARGV[1]  the entry
uncount(KEYS[1], KEYS[2], ARGV[1])
return 1
