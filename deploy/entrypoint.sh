#!/bin/sh
# Put the password from the secret into the URL of the store, and run a command.
set -eu
password=$(cat "${STORE_PASSWORD_FILE:-/run/secrets/valkey_app_password}")
url=$STORE_URL
while [ "$url" != "${url#*\{password\}}" ]; do
    url=${url%%\{password\}*}$password${url#*\{password\}}
done
export SESSION_REDIS_URL="$url"
exec "$@"
