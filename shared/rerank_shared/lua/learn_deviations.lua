-- Adds what some requests taught to the mean deviations of a first stage; see rerank_shared/deviations.py, its twin.
--
-- KEYS[1]  string `requests logit first_stage`: Keys.deviations
-- ARGV[1]  requests, ARGV[2] mean deviation of their logits, ARGV[3] of their first-stage scores
-- ARGV[4]  window, in requests; ARGV[5] requests after which a lesson is bounded; ARGV[6] by which factor
-- ARGV[7]  life-time in seconds
-- Writes nothing at the server's memory limit.
local more = {tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])}
local window, bounded_after, largest = tonumber(ARGV[4]), tonumber(ARGV[5]), math.log(tonumber(ARGV[6]))
local requests, means = more[1], {more[2], more[3]}
local known = {}
for word in string.gmatch(redis.call('GET', KEYS[1]) or '', '%S+') do
  known[#known + 1] = tonumber(word)
end
if #known == 3 then
  requests = known[1] + more[1]
  local share = more[1] / math.max(more[1], math.min(requests, window))
  for i = 1, 2 do
    local step = math.log(more[i + 1]) - math.log(known[i + 1])
    if known[1] >= bounded_after then
      step = math.max(-largest, math.min(largest, step))
    end
    means[i] = known[i + 1] * math.exp(step * share)
  end
end
redis.pcall('SET', KEYS[1], string.format('%d %.17g %.17g', requests, means[1], means[2]), 'EX', ARGV[7])
return requests
