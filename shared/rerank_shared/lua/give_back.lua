-- Lets jobs that were taken wait again. Returns the tags of messages of other queues, which are left as they are.
--
-- ARGV[3]...  delivery tags
write_at_any_limit()
local others = {}
for i = 3, #ARGV do
  local tag = ARGV[i]
  local entry = redis.call('HGET', UNACKED, tag)
  local raw, class = read_taken(entry or '')
  if raw and settle(tag) then
    place_again(class, tag, raw, headers_of(raw))
  elseif entry then
    others[#others + 1] = tag
  end
end
return others
