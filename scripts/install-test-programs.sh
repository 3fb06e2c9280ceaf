#!/bin/bash
# Installs with apt the programs that the tests start for themselves, on free ports and in temporary folders. Those that
# are there already are left alone. Debian, as root.
set -euo pipefail

declare -A packages=(
  [redis-server]=redis-server
  [mariadbd]=mariadb-server
  [shellcheck]=shellcheck
  [chromium]=chromium
  [nginx]=nginx-light
  [wrk]=wrk
  [curl]=curl
  [openssl]=openssl
  [git]=git
  [ps]=procps
)

missing=()
for program in "${!packages[@]}"; do
  command -v "$program" >/dev/null 2>&1 || missing+=("${packages[$program]}")
done
[ ${#missing[@]} -gt 0 ] || exit 0
echo "installing: ${missing[*]}"

# Debian starts a service as soon as its package is there; 101 tells it not to.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
