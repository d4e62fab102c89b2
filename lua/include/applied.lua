-- Return whether an operation id was applied and still counts.
local function applied(operations, operation, now)
  local valid_until = redis.call('ZSCORE', operations, operation)
  return valid_until and tonumber(valid_until) > now
end
