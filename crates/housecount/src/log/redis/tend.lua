-- Forgets a partition's old records, and notes that a node was there.
--
-- KEYS[1]  the partition's stream
-- KEYS[2]  the partition's meta hash
-- ARGV[1]  records before this time (ms) may go
-- ARGV[2]  when a node that knows all was there (ms); 0 for never
--
-- A partition without meta is left alone: the next read makes it, and only reads notice that it was lost.
if redis.call('EXISTS', KEYS[2]) == 1 then
  local known = tonumber(redis.call('HGET', KEYS[2], 'attended') or '0')
  if tonumber(ARGV[2]) > known then
    redis.call('HSET', KEYS[2], 'attended', ARGV[2])
  end
  redis.call('XTRIM', KEYS[1], 'MINID', '~', ARGV[1])
end
return 1
