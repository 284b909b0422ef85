-- Begins a partition that is new, or whose past was lost: it is born now. What is there stays.
--
-- KEYS[1]  the partition's meta hash: born, whole, attended, partitions, committed, key
-- ARGV[1]  how many partitions this node believes the log has
-- ARGV[2]  the key of handles, should the partition have none; 0 for none
if redis.call('HEXISTS', KEYS[1], 'born') == 0 then
  local time = redis.call('TIME')
  local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
  redis.call('HSET', KEYS[1], 'born', now, 'whole', '0', 'attended', '0', 'partitions', ARGV[1])
end
if ARGV[2] ~= '0' then
  redis.call('HSETNX', KEYS[1], 'key', ARGV[2])
end
return 1
