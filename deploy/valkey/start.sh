#!/bin/sh
# Start Valkey with the users in users.acl. Further arguments are options of the server.
# A secret is a file with a password. The ACL file that the server reads has hashes only.
set -eu
config=${VALKEY_CONFIG:-/etc/valkey}
secrets=${VALKEY_SECRETS:-/run/secrets}
run=${VALKEY_RUN:-/run/valkey}

sed '/^#/d' "$config/users.acl" >"$run/users.acl"
for user in app operator replica sentinel; do
    file=$secrets/valkey_${user}_password
    if [ ! -f "$file" ]; then # nobody can log in as this user
        sed -i "/^user $user /d" "$run/users.acl"
        continue
    fi
    password=$(cat "$file")
    case $password in *REPLACE*)
        echo "$file still has its placeholder: replace it by a password" >&2
        exit 1
        ;;
    esac
    if [ "${#password}" -lt 16 ]; then
        echo "$file must have a password of at least 16 characters" >&2
        exit 1
    fi
    hash=$(printf %s "$password" | sha256sum)
    sed -i "s/{$user}/#${hash%% *}/" "$run/users.acl"
done
# Sentinels change the configuration, so the server gets a copy. ADDITIONS names a file with further settings.
{
    cat "$config/valkey.conf"
    echo "dir ${VALKEY_DATA:-/data}"
    echo "aclfile $run/users.acl"
    [ -z "${ADDITIONS:-}" ] || cat "$ADDITIONS"
} >"$run/valkey.conf"
exec valkey-server "$run/valkey.conf" "$@"
