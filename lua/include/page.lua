-- Compare two texts byte by byte, as a sorted set orders its members. Lua's own `<` follows the server's locale.
local function precedes(text, other)
  for index = 1, math.min(#text, #other) do
    local left, right = string.byte(text, index), string.byte(other, index)
    if left ~= right then return left < right end
  end
  return #text < #other
end

-- Return members of a sorted set with scores from `lowest` to `highest`, at most `limit`, in the order of score and member.
-- With `score` and `after`, continue after that entry, even if it has moved or is gone. Takes O(log² n + limit).
local function page(key, lowest, highest, limit, score, after)
  if not score then return redis.call('ZRANGEBYSCORE', key, lowest, highest, 'LIMIT', 0, limit) end
  local first, last = redis.call('ZCOUNT', key, '-inf', '(' .. score), redis.call('ZCOUNT', key, '-inf', score)
  while first < last do
    local middle = math.floor((first + last) / 2)
    if precedes(after, redis.call('ZRANGE', key, middle, middle)[1]) then last = middle else first = middle + 1 end
  end
  first = math.max(first, redis.call('ZCARD', key) - redis.call('ZCOUNT', key, lowest, '+inf'))
  last = math.min(first + limit, redis.call('ZCOUNT', key, '-inf', highest))
  return first < last and redis.call('ZRANGE', key, first, last - 1) or {}
end
