-- Return what the event of the end of a session tells, from its record, whatever that is: deadline, creation time, version,
-- owner, salt, most events, last access, and idle timeout. Without a deadline, the score of its index entry is the deadline.
local function last_fields(key, score)
  local field = redis.pcall('HMGET', key, 'd', 'c', 'v', 'u', 's', 'e', 'a', 'i')
  local deadline = parse_int(field[1])
  if not deadline then return {math.ceil(score)} end
  field[1] = deadline
  return field
end
