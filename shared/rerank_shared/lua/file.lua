-- Puts a plain Celery sender's message in its place. It was on the server already, so no memory limit may refuse it.
--
-- ARGV[2]...ARGV[7]  as put.lua
write_at_any_limit()
place(ARGV[2], ARGV[3], 0, unpack(ARGV, 4, 7))
return 1
