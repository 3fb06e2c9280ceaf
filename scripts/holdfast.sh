#!/bin/sh
# Runs one command of Holdfast: scripts/holdfast.sh COMMAND [options]. `--help` lists the commands.
# The other scripts here are short names for the commands used most. The logic is backend/src/cli.ts; this only
# finds it, from any directory and through symbolic links, and says what to do when it is not there yet.
set -eu

script=$(readlink -f -- "$0")
root=$(dirname -- "$(dirname -- "$script")")
cli=$root/backend/dist/cli.js

if ! command -v node >/dev/null 2>&1; then
  # cron has a short PATH; node is then often beside npm's prefix.
  PATH=$PATH:/usr/local/bin:/opt/homebrew/bin
  export PATH
fi
if ! command -v node >/dev/null 2>&1; then
  echo "holdfast: node is not on PATH ($PATH); install Node.js 20.19 or newer, or set PATH." >&2
  exit 1
fi
if [ ! -f "$cli" ]; then
  echo "holdfast: not built yet. Run this first:" >&2
  echo "    cd $root && npm ci && npm run build" >&2
  exit 1
fi
# npm puts what an installed package needs beside it.
if [ ! -d "$root/node_modules" ] && [ "$(basename -- "$(dirname -- "$root")")" != node_modules ]; then
  echo "holdfast: the dependencies are not installed. Run this first:" >&2
  echo "    cd $root && npm ci" >&2
  exit 1
fi
exec node "$cli" "$@"
