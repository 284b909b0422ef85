-- Records the time up to which the ledger has a partition's proven watch time.
--
-- KEYS[1]  the partition's meta hash
-- ARGV[1]  end of that time (ms)
--
-- Redis over its maxmemory refuses a script's first write if it may take memory, but no later
-- write. The log is trimmed up to this time, and trimming frees memory. So the script first
-- deletes a field that never exists.
-- A partition without meta stays as it is: only reads detect that it was lost, and the next read
-- creates it.

-- Parses a time as housecount writes it; 0 for any other text, as in read.rs.
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
