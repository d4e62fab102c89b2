-- The closed set of statuses that a reply may begin with; chuk_sessions/statuses.py says what each means. A status with
-- nothing behind it is the reply: a number costs the server much less than a table with a number in it.
local GONE, OK, CREATED, EXISTS, MOVED, FULL = 0, 1, 2, 3, 4, 5
local OTHER_OWNER, CONFLICT, NOT_A_COUNTER, CEILING = 6, 7, 8, 9
local NEEDS_INDEX, TOO_FAR, CORRUPT = 10, 11, 12
