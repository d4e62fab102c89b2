#!/bin/sh
# Start Valkey as the primary or as a replica, or a Sentinel: `replicated.sh server` or `replicated.sh sentinel`.
# ADDRESS is the HOST:PORT of this process, SENTINELS those of all Sentinels, and FIRST that of the first primary.
set -eu
config=${VALKEY_CONFIG:-/etc/valkey}
secrets=${VALKEY_SECRETS:-/run/secrets}
run=${VALKEY_RUN:-/run/valkey}
data=${VALKEY_DATA:-/data}
name=sessions
host=${ADDRESS%:*} port=${ADDRESS##*:}
state=$data/sentinel.conf

ask() { # ask HOST:PORT WORDS: a Sentinel
    sentinel=$1
    shift
    timeout 2 valkey-cli -h "${sentinel%:*}" -p "${sentinel##*:}" sentinel "$@" $name 2>/dev/null || true
}

consider() { # consider EPOCH HOST PORT: keep the primary of the newest failover
    case ${1:-none}${3:-none} in *[!0-9]*) return ;; esac
    if [ "$1" -gt "$newest" ]; then newest=$1 found="$2 $3"; fi
}

# The primary of the newest failover that a Sentinel or this volume knows, else FIRST. After a restart of all pods, the
# first Sentinel that answers may be one that has missed a failover. Its primary would overwrite the data of the others.
newest=-1 found="${FIRST%:*} ${FIRST##*:}"
if [ -f "$state" ]; then
    epoch=$(sed -n "s/^sentinel config-epoch $name //p" "$state")
    consider "${epoch:-0}" $(sed -n "s/^sentinel monitor $name \([^ ]*\) \([0-9]*\) .*/\1 \2/p" "$state")
fi
for each in $SENTINELS; do
    epoch=$(ask "$each" master | sed -n '/^config-epoch$/{n;p;}')
    consider "$epoch" $(ask "$each" get-master-addr-by-name)
done
set -- "$1" ${found}
if [ "$1" = server ]; then
    umask 077
    {
        echo "port $port"
        echo "replica-announce-ip $host"
        echo "replica-announce-port $port"
        echo "masteruser replica"
        echo "masterauth $(cat "$secrets/valkey_replica_password")"
        # A primary that has lost its replicas refuses writes, which a failover would lose.
        echo "min-replicas-to-write ${MIN_REPLICAS:-1}"
        echo "min-replicas-max-lag 10"
        echo "repl-diskless-sync-delay 0"
        [ "$2 $3" = "$host $port" ] || echo "replicaof $2 $3"
    } >"$run/replication.conf"
    export ADDITIONS="$run/replication.conf"
    exec sh "$config/start.sh"
fi

umask 077
if [ ! -f "$state" ]; then
    cat >"$state.new" <<END
port $port
dir $data
protected-mode no
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $host
sentinel announce-port $port
sentinel monitor $name $2 $3 2
sentinel down-after-milliseconds $name ${DOWN_AFTER_MS:-5000}
sentinel failover-timeout $name 10000
sentinel auth-user $name sentinel
sentinel sentinel-user sentinel
END
    mv "$state.new" "$state"
fi
# The Sentinel writes what it learns to this file. Passwords are renewed at each start.
password=$(cat "$secrets/valkey_sentinel_password")
{
    grep -vE '^(user|sentinel auth-pass|sentinel sentinel-pass) ' "$state"
    cat <<END
sentinel auth-pass $name $password
sentinel sentinel-pass $password
user default on nopass resetchannels -@all +@connection +sentinel|get-master-addr-by-name +sentinel|master
user sentinel on >$password allchannels +@all
END
} >"$state.new"
mv "$state.new" "$state"
exec valkey-sentinel "$state"
