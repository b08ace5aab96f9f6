-- Lets taken jobs wait again; a tag without a record is skipped.
--
-- ARGV[3]...  delivery tags
write_at_any_limit()
for i = 3, #ARGV do
  local tag = ARGV[i]
  local entry = redis.call('HGET', UNACKED, tag)
  if entry then
    local class, deliveries, raw = read_taken(entry)
    settle(tag)
    place_again(class, tag, deliveries, raw, headers_of(raw))
  end
end
return 1
