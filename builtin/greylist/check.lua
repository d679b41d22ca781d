-- One try, as Policy.next has it.
-- KEYS: the triplet's hash, the hash of allowed clients.
-- ARGV: now, delay, retry window, lifetime, all in milliseconds; then the client's names.
local call = redis.call
if call('HLEN', KEYS[2]) > 0 then
  for i = 5, #ARGV do
    local since = call('HGET', KEYS[2], ARGV[i])
    if since then return {'2', since, '0', '0', '0'} end
  end
end

local now, delay, window, lifetime = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local r = call('HMGET', KEYS[1], 'state', 'first', 'tries', 'expires')
local state, first, tries, expires = tonumber(r[1]), tonumber(r[2]), tonumber(r[3]), tonumber(r[4])
if not (state and first and tries and expires) or now >= expires then
  state, first, tries, expires = 0, now, 0, now + window
elseif state == 0 and now < first then
  first, expires = now, now + window
elseif state == 0 and now >= first + delay then
  state = 1
end
if state == 1 then expires = now + lifetime end

-- Lua would write such numbers as 1.7e+12.
local function whole(n) return string.format('%.0f', n) end
local record = {whole(state), whole(first), whole(now), whole(tries + 1), whole(expires)}
call('HSET', KEYS[1], 'state', record[1], 'first', record[2], 'last', record[3], 'tries', record[4], 'expires', record[5])
call('PEXPIRE', KEYS[1], whole(expires - now))
return record
