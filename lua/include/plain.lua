-- A whole number in plain digits, or nil: hex, exponents, `nan` and more than 15 characters are nothing that was
-- written here, though Lua would take them for numbers.
local function plain(text)
  return text and #text <= 15 and string.find(text, '^%-?%d+$') and tonumber(text) or nil
end
