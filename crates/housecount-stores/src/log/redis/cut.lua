-- Cuts a partition's stream off before another program's entry whose id is far ahead of Redis's
-- clock. Otherwise every later append would get an id beyond it. Nodes append again the records
-- that they had appended after that entry.
--
-- KEYS[1]  the partition's stream
-- KEYS[2]  temporary name of the stream while the remaining entries are copied
-- ARGV[1]  the first id to delete
-- ARGV[2]  1 if the entry was deleted, but its id is still the stream's last id, so that appends
--          get no id
--
-- Valkey 9 refuses to set a stream's last id back once it has had later entries. So the script
-- creates the stream again.
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
