#!/bin/sh
# Everything about the code that needs no running: format, lint and layers, rooms, types, dead code, shell scripts, and
# the generated documents. Runs all of it and then says what failed. `npm run check`.
set -u

cd "$(dirname -- "$(readlink -f -- "$0")")/.." || exit 1
PATH=$PWD/node_modules/.bin:$PATH
failed=

check() {
  name=$1
  shift
  if output=$("$@" 2>&1); then
    echo "ok    $name"
  else
    echo "FAIL  $name"
    printf '%s\n' "$output" | sed 's/^/      /'
    failed="$failed $name"
  fi
}

shell_scripts() {
  if ! command -v shellcheck >/dev/null 2>&1; then
    echo "shellcheck is not installed: apt-get install shellcheck, brew install shellcheck, or see https://www.shellcheck.net"
    return 1
  fi
  shellcheck scripts/*.sh .ci/run
}

# What documents derive from registries is derived by the compiled registries.
documents() {
  node scripts/build.mjs --quiet && node backend/dist/docs.js --check
}

check format prettier --check --log-level warn .
check lint oxlint
check rooms node test/house/rooms.mjs
check types tsc --noEmit -p .
check agent-types tsc --noEmit -p backend/src/agent
check bench-types tsc --noEmit -p bench
check dead-code knip --no-progress
check documents documents
check shell shell_scripts

[ -z "$failed" ] || { echo "Failed:$failed" >&2; exit 1; }
