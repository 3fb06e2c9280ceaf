#!/bin/sh
# Installs, builds, and starts or rolls out what lies here; see --help. The logic is backend/src/cli/commands/deploy.ts.
# A checkout that was never installed or built has no such thing yet: then this script does that first.
set -eu

scripts=$(dirname -- "$(readlink -f -- "$0")")
root=$(dirname -- "$scripts")

if [ ! -f "$root/backend/dist/cli.js" ] || [ ! -d "$root/node_modules" ]; then
  case " $* " in *" --help "*)
    echo "Usage: scripts/deploy.sh [--skip-install] [--skip-build] [--service NAME]..."
    echo "Installs, builds, and starts or rolls out this deployment. The rest of the help needs the build: npm ci && npm run build"
    exit 0 ;;
  esac
  cd "$root"
  [ -d node_modules ] || npm ci --include=dev
  node scripts/build.mjs
fi
exec "$scripts/holdfast.sh" deploy "$@"
