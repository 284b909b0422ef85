-- Looks at a partition: its clock and its past. In one transaction with reading its records, it is all of one moment.
--
-- KEYS[1]  the partition's stream
-- KEYS[2]  the partition's meta hash: born, whole, attended, partitions, committed, key
-- ARGV[1]  the position that is read after, as MS-SEQ
-- ARGV[2]  how many partitions this node believes the log has
-- ARGV[3]  the key of handles, should the partition have none; 0 for none
--
-- Returns { now in ms, born, whole, attended, partitions, whether the record at ARGV[1] is there, committed, key };
-- the numbers as strings, because Redis cuts Lua's to integers of its own width.
-- A partition without meta is new, or was lost: it is born now.
-- The records themselves are read outside, because handing them through Lua costs ten times what reading them does.
local time = redis.call('TIME')
local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
local meta = redis.call('HMGET', KEYS[2], 'born', 'whole', 'attended', 'partitions', 'committed', 'key')
if not meta[1] then
  redis.call('HSET', KEYS[2], 'born', now, 'whole', '0', 'attended', '0', 'partitions', ARGV[2])
  meta = { now, '0', '0', ARGV[2] }
end
if not meta[6] and ARGV[3] ~= '0' then
  redis.call('HSET', KEYS[2], 'key', ARGV[3])
  meta[6] = ARGV[3]
end
local held = #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) == 1 and '1' or '0'
return { now, meta[1], meta[2] or '0', meta[3] or '0', meta[4] or ARGV[2], held, meta[5] or '0', meta[6] or '0' }
