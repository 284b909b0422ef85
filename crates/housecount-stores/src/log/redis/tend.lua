-- Records that a node was reading the log.
--
-- KEYS[1]  the partition's meta hash
-- ARGV[1]  last time at which a node with complete counts was reading (ms); 0 for never
--
-- It always writes, even if nothing changes. Redis refuses this write whenever it refuses appends
-- (maxmemory, min-replicas-to-write, a full disk). So a node without events to append detects the
-- refusal too.
-- A partition without meta stays as it is: only reads detect that it was lost, and the next read
-- creates it.

-- Parses a time as housecount writes it; 0 for any other text, as in read.rs.
local function time(text)
  if text and #text <= 15 and string.match(text, '^%d+$') then return tonumber(text) end
  return 0
end

if redis.call('EXISTS', KEYS[1]) == 1 then
  local attended = math.max(time(redis.call('HGET', KEYS[1], 'attended')), time(ARGV[1]))
  redis.call('HSET', KEYS[1], 'attended', string.format('%.0f', attended))
end
return 1
