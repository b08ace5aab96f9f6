-- Puts a plain Celery sender's message in its place. It was on the server already, so no memory limit may refuse it.
--
-- ARGV[3]...ARGV[8]  as put.lua
write_at_any_limit()
place(ARGV[3], ARGV[4], 0, ARGV[5], ARGV[6], ARGV[7], ARGV[8])
return 1
