#!/bin/sh
# One full health check now; made for people, cron and machines. See --help.
set -eu
exec "$(dirname -- "$(readlink -f -- "$0")")/holdfast.sh" health "$@"
