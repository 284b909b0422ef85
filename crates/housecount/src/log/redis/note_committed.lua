-- Notes up to when the ledger has what a partition's records prove.
--
-- KEYS[1]  the partition's meta hash
-- ARGV[1]  up to when (ms)
--
-- Redis over its maxmemory refuses a script's first write if it may take memory, and none after that. The log is trimmed by this
-- note, which is what frees memory: so it begins with a deletion, of a field that is never there.
-- A partition without meta is left alone: the next read makes it, and only reads notice that it was lost.

-- A time as housecount writes it. Anything else counts as none, as in tail.rs.
local function time(text)
  if text and #text <= 15 and string.match(text, '^%d+$') then return tonumber(text) end
  return 0
end

if redis.call('EXISTS', KEYS[1]) == 1 then
  if time(ARGV[1]) > time(redis.call('HGET', KEYS[1], 'committed')) then
    redis.call('HDEL', KEYS[1], '')
    redis.call('HSET', KEYS[1], 'committed', ARGV[1])
  end
end
return 1
