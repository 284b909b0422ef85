-- Records that a checkpoint has been written to a partition, unless the partition was lost again
-- since.
--
-- KEYS[1]  the partition's meta hash
-- ARGV[1]  `born` of the partition that the checkpoint was written to (ms)
if redis.call('HGET', KEYS[1], 'born') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'whole', '1')
end
return 1
