#!/bin/sh
# Runs the tests on each Python given as VERSION:PATH: all of them on the first, then, on each of the others, all but
# those that take long for a reason that no version of Python changes. These start servers and wait for failovers
# or outages, check random histories, or check files that are the same for every Python.
set -u
once="tests/faults tests/linearizability
tests/redis/test_contract_*.py tests/redis/test_cluster.py tests/redis/test_sentinel.py tests/redis/test_demotion.py
tests/redis/test_address_remap.py tests/redis/test_lost_node.py tests/redis/test_topology_shutdown.py
tests/redis/test_*outage*.py tests/redis/test_containers.py
tests/project/test_packaging.py tests/project/test_typing.py tests/project/test_prose.py
tests/project/test_docs.py tests/project/test_examples.py tests/web_examples
tests/events/test_scenarios.py tests/webhooks/test_relay_processes.py tests/webhooks/test_webhook_steps.py
tests/cache/test_cache_conditions.py tests/cache/test_cached_histories.py tests/security/test_dump.py
tests/encryption/test_rolling_changes.py tests/migration/test_kills.py tests/migration/test_runbook.py
tests/migration/test_bulk.py tests/devices/test_devices_browser.py tests/cli/test_cli_processes.py tests/doctor
tests/deployment tests/federation/test_two_stores.py tests/telemetry/test_dashboard.py
tests/telemetry/test_multiprocess.py tests/telemetry/test_survey.py"
ignored=$(for path in $once; do printf -- '--ignore=%s ' "$path"; done)

run_make() { # the target, VERSION:PATH, further arguments of pytest, and further arguments of make
    ${MAKE:-make} --no-print-directory "$1" VERSION="${2%%:*}" PYTHON="${2#*:}" TESTS="${3:-} ${TESTS:-}" ${4:-}
}

# Creating environments is mostly waiting, so all of them are created at the same time.
pids=
for python in "$@"; do
    run_make environment "$python" & pids="$pids $!"
done
for pid in $pids; do wait "$pid" || exit 1; done

first=$1
shift
run_make test-here "$first" || exit 1

# The other Pythons follow one after another, because tests with a time limit need the machine. Each line is printed at
# once, after its version, so that nothing is lost if this script is killed. The loop waits for the file and not for the
# end of the pipe, which a process that a test has left running would keep open.
statuses=$(mktemp -d)
trap 'rm -rf "$statuses"' EXIT
failed=0
for python in "$@"; do
    version=${python%%:*}
    {
        run_make test-here "$python" "$ignored" 2>&1
        echo $? >"$statuses/$version.tmp" && mv "$statuses/$version.tmp" "$statuses/$version"
    } | while IFS= read -r line; do printf '%s: %s\n' "$version" "$line"; done &
    until [ -e "$statuses/$version" ]; do sleep 1; done
    [ "$(cat "$statuses/$version")" = 0 ] || failed=1
done
sleep 1 # for the last lines
exit "$failed"
