#!/bin/sh
# Makes sure the supervisor runs, turns automatic management on, waits for healthy services. See --help.
set -eu
exec "$(dirname -- "$(readlink -f -- "$0")")/holdfast.sh" start-ha "$@"
