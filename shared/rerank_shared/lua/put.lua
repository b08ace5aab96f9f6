-- Puts a job on the queue.
--
-- ARGV[3]  class
-- ARGV[4]  delivery tag
-- ARGV[5]  message, JSON
-- ARGV[6]  due_at, epoch seconds
-- ARGV[7]  tokens, a whole number
-- ARGV[8]  tenant
place(ARGV[3], ARGV[4], 0, ARGV[5], ARGV[6], ARGV[7], ARGV[8])
return 1
