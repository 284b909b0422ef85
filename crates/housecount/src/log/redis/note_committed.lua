-- Notes up to when the ledger has what a partition's records prove.
--
-- KEYS[1]  the partition's meta hash
-- ARGV[1]  up to when (ms)
--
-- A partition without meta is left alone: the next read makes it, and only reads notice that it was lost.
if redis.call('EXISTS', KEYS[1]) == 1 then
  local known = tonumber(redis.call('HGET', KEYS[1], 'committed') or '0')
  if tonumber(ARGV[1]) > known then
    redis.call('HSET', KEYS[1], 'committed', ARGV[1])
  end
end
return 1
