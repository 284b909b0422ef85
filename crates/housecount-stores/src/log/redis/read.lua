-- Reads a partition at one moment, where a transaction fails: Redis over its maxmemory refuses
-- transactions, and on a cluster the driver follows a partition to its new master only for a
-- single command.
--
-- KEYS[1]  the partition's stream
-- KEYS[2]  the partition's meta hash
-- ARGV[1]  the position to continue from
-- ARGV[2]  maximum number of records
-- ARGV[3]… the fields of the meta hash
return {
  redis.call('TIME'),
  redis.call('HMGET', KEYS[2], unpack(ARGV, 3)),
  redis.call('XLEN', KEYS[1]),
  redis.call('XREAD', 'COUNT', ARGV[2], 'STREAMS', KEYS[1], ARGV[1]),
  redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]),
}
