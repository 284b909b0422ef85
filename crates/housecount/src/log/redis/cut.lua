-- Cuts a partition's stream off before an entry that isn't housecount's and whose id is far ahead of Redis's clock: every later
-- append would get an id beyond it. Nodes append again what they had there meanwhile.
--
-- KEYS[1]  the partition's stream
-- KEYS[2]  where it is while what stays is copied
-- ARGV[1]  the first id to go
-- ARGV[2]  1 where the stream has no such entry any more, but its last id is one: no append gets an id then
--
-- The last id of a stream can't be set back once entries with later ones were in it (Valkey 9 refuses it), so it is made anew.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if ARGV[2] ~= '1' and #redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', 1) == 0 then return 0 end
redis.call('RENAME', KEYS[1], KEYS[2])
local from = '-'
while true do
  local entries = redis.call('XRANGE', KEYS[2], from, '(' .. ARGV[1], 'COUNT', 500)
  if #entries == 0 then break end
  for _, entry in ipairs(entries) do
    redis.call('XADD', KEYS[1], entry[1], unpack(entry[2]))
  end
  from = '(' .. entries[#entries][1]
end
redis.call('DEL', KEYS[2])
return 1
