-- Return the time, and the notes about a user's strays; write nothing.
-- KEYS[1] notes: bucket -> when its note was last refreshed, ms; of this user
-- Reply: OK now {bucket, refreshed...}
--- @include "now"
return {OK, now, redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')}
