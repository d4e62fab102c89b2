--- @include "remember"
-- Store the operation id of a creation with the 15 latest ones of the same session id. They outlive the session, so that an
-- attempt that arrives late is recognized even if the session was replaced or deleted.
local function remember_creation(creations, operation, now, window)
  redis.call('ZREMRANGEBYRANK', creations, 0, -16)
  remember(creations, operation, now, window)
  redis.call('PEXPIREAT', creations, now + window)
end
