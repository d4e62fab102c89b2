#!/bin/sh
# Create a random password for each user that has none, in the folder `secrets` next to this script.
set -eu
folder=${1:-$(dirname "$0")/secrets}
(umask 077 && mkdir -p "$folder")
for name in valkey_app_password valkey_operator_password grafana_admin_password; do
    if [ ! -s "$folder/$name" ]; then
        od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$folder/$name"
    fi
    # Containers run as other users. On the host, the folder keeps them out.
    chmod 444 "$folder/$name"
done
