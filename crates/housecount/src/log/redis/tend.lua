-- Forgets a partition's old records, and notes that a node was here.
--
-- KEYS[1]  the partition's stream
-- KEYS[2]  the partition's meta hash
-- ARGV[1]  records before this time (ms) may go
-- ARGV[2]  1 if the node knows all, and so may note that it was here
--
-- A partition without meta is left alone: the next read makes it, and only reads notice that it was lost.
if redis.call('EXISTS', KEYS[2]) == 1 then
  if ARGV[2] == '1' then
    local time = redis.call('TIME')
    redis.call('HSET', KEYS[2], 'attended', string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000)))
  end
  redis.call('XTRIM', KEYS[1], 'MINID', '~', ARGV[1])
end
return 1
