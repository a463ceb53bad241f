#!/usr/bin/env bash
# Installs the distribution's packages that the lab, the tests and the demo need, where they are missing.
# Usage: packages.sh [extra package ...]
set -euo pipefail

declare -A package_of=(
  [etcd]=etcd-server [etcdctl]=etcd-client [haproxy]=haproxy [ip]=iproute2 [nft]=nftables
  [fence_dummy]=fence-agents [ipmitool]=ipmitool [ipmi_sim]=openipmi [openssl]=openssl
  [mkfs.ext4]=e2fsprogs [mkfs.xfs]=xfsprogs
)
missing=()
for package; do
  dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
for command in "${!package_of[@]}"; do
  PATH="$PATH:/usr/sbin:/sbin" command -v "$command" >/dev/null || missing+=("${package_of[$command]}")
done
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]} - install them with this system's package manager" >&2
  exit 2
fi
run=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "missing: ${missing[*]} - run as root: apt-get install ${missing[*]}" >&2; exit 2; }
  run=(sudo)
fi
# The packages' own services must not start here: the lab starts its own.
policy=/usr/sbin/policy-rc.d
made_policy=
if [ ! -e "$policy" ] && [ ! -d /run/systemd/system ]; then
  printf '#!/bin/sh\nexit 101\n' | "${run[@]}" tee "$policy" >/dev/null
  "${run[@]}" chmod +x "$policy"
  made_policy=1
fi
trap '[ -n "$made_policy" ] && "${run[@]}" rm -f "$policy"' EXIT
"${run[@]}" apt-get update -qq
"${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
