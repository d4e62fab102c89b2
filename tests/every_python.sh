#!/bin/sh
# Runs the suite on each Python given as VERSION:PATH: all of it on the first, then on the others, side by side, all
# but what takes long because servers do, and differs in nothing between versions of Python.
set -u
once="tests/redis tests/linearizability tests/faults tests/redis/test_connection_outages.py tests/redis/test_contract_transports.py tests/redis/test_store_outage.py
tests/project/test_packaging.py"
ignored=$(for path in $once; do printf -- '--ignore=%s ' "$path"; done)

here() { # the target, VERSION:PATH, and what pytest is told besides
    ${MAKE:-make} --no-print-directory "$1" VERSION="${2%%:*}" PYTHON="${2#*:}" TESTS="${3:-} ${TESTS:-}"
}

# Environments first, at the same time: that is waiting for the most part.
pids=
for python in "$@"; do
    here environment "$python" & pids="$pids $!"
done
for pid in $pids; do wait "$pid" || exit 1; done

first=$1
shift
here test-here "$first" || exit 1

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
pids=
for python in "$@"; do
    here test-here "$python" "$ignored" >"$logs/${python%%:*}" 2>&1 & pids="$pids $!"
done
failed=0
for pid in $pids; do wait "$pid" || failed=1; done
cat "$logs"/* 2>/dev/null
exit "$failed"
