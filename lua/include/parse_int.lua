-- Parse a whole number in plain digits; nil for anything else. Scripts write neither hex, exponents, `nan` nor more than 15
-- characters, but Lua's `tonumber` would accept them.
local function parse_int(text)
  return text and #text <= 15 and string.find(text, '^%-?%d+$') and tonumber(text) or nil
end
