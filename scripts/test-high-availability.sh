#!/bin/sh
# Disturbs a running deployment under traffic, and measures what was lost. See --help.
set -eu
exec "$(dirname -- "$(readlink -f -- "$0")")/holdfast.sh" test-ha "$@"
