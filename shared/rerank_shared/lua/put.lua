-- Puts a job on the queue.
--
-- ARGV[2]  queue
-- ARGV[3]  delivery tag
-- ARGV[4]  message, JSON
-- ARGV[5]  due_at, epoch seconds
-- ARGV[6]  tokens, a whole number
-- ARGV[7]  tenant
place(ARGV[2], ARGV[3], 0, unpack(ARGV, 4, 7))
return 1
