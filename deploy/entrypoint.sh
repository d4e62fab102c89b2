#!/bin/sh
# Put the password from the secret into the URL of the store, and run a command.
set -eu
password=$(cat "$STORE_PASSWORD_FILE")
url=$STORE_URL
while [ "$url" != "${url#*\{password\}}" ]; do
    url=${url%%\{password\}*}$password${url#*\{password\}}
done
export SESSION_REDIS_URL="$url"

# Metrics of the workers of an earlier run do not count.
if [ -n "${PROMETHEUS_MULTIPROC_DIR:-}" ]; then
    mkdir -p "$PROMETHEUS_MULTIPROC_DIR"
    rm -f "$PROMETHEUS_MULTIPROC_DIR"/*.db
fi
exec "$@"
