-- Lets taken jobs wait again; a tag without a record is skipped.
--
-- ARGV[2]...  delivery tags
write_at_any_limit()
for i = 2, #ARGV do
  local tag = ARGV[i]
  local entry = redis.call('HGET', UNACKED, tag)
  if entry then
    local class, deliveries, raw = read_taken(entry)
    settle(tag)
    local headers, queue = opened(raw, class)
    place_again(queue, tag, deliveries, raw, headers)
  end
end
return 1
