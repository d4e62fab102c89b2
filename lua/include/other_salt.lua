-- Return the reply to values that are encrypted under another salt than that of the record, or nil. A record without a salt
-- adopts theirs.
local function other_salt(key, salt)
  local stored = redis.call('HGET', key, 's')
  return stored and stored ~= salt and {OTHER_SALT, stored} or nil
end
