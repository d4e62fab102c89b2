"""A health probe for containers without curl: exits with 0 if a URL responds with status 200."""

import sys
import urllib.request

with urllib.request.urlopen(sys.argv[1], timeout=8) as response:
    sys.exit(response.status != 200)
