-- Creates the metadata of a partition that is new or has lost it, with the current time as `born`.
-- Valid fields stay.
--
-- KEYS[1]  the partition's meta hash: born, whole, attended, partitions, committed, key
-- ARGV[1]  number of partitions in this node's configuration
-- ARGV[2]  the key of handles if the partition has none; 0 to set none
-- ARGV[3]… fields that are not numbers, each followed by its value; a field is deleted if it still
--          has that value
for i = 3, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
if redis.call('HEXISTS', KEYS[1], 'born') == 0 then
  local time = redis.call('TIME')
  local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
  redis.call('HSET', KEYS[1], 'born', now, 'whole', '0', 'attended', '0', 'partitions', ARGV[1])
end
redis.call('HSETNX', KEYS[1], 'partitions', ARGV[1])
if ARGV[2] ~= '0' then
  redis.call('HSETNX', KEYS[1], 'key', ARGV[2])
end
return 1
