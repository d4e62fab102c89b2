-- Names the sandboxes that have an ended session to sweep in this bucket; writes nothing.
-- KEYS[1] sandboxes: sandbox -> its earliest end in ms
-- ARGV[1] limit: of names
-- Reply: OK {sandbox...}
--- @include "now"
return {OK, redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])}
