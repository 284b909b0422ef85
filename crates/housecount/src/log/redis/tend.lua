-- Notes that a node was there.
--
-- KEYS[1]  the partition's meta hash
-- ARGV[1]  when a node that knows all was there (ms); 0 for never
--
-- It writes also where nothing changes: Redis refuses it when it refuses appends (maxmemory, min-replicas-to-write, a full disk),
-- so a node with nothing to append learns of that.
-- A partition without meta is left alone: the next read makes it, and only reads notice that it was lost.

-- A time as housecount writes it. Anything else counts as none, as in tail.rs.
local function time(text)
  if text and #text <= 15 and string.match(text, '^%d+$') then return tonumber(text) end
  return 0
end

if redis.call('EXISTS', KEYS[1]) == 1 then
  local attended = math.max(time(redis.call('HGET', KEYS[1], 'attended')), time(ARGV[1]))
  redis.call('HSET', KEYS[1], 'attended', string.format('%.0f', attended))
end
return 1
