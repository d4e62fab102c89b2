-- Return the score of a session in the index of deadlines: when it expires, ms. Half a ms less marks a session that emits
-- events. Times are whole ms, so every session, marked or not, is alive as long as its score is above now.
local function index_score(expiry, emits)
  return emits and expiry - 0.5 or expiry
end
