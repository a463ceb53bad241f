#!/usr/bin/env bash
# Builds the Debian package: deb.sh [12|13] [directory]. Everything that it needs is fetched into a root tree of that
# Debian, made once in $HACTL_CACHE (else ~/.cache/hactl); the package itself needs nothing but Debian to be installed.
# $HACTL_DEBIAN_MIRROR names another mirror; pip's own configuration is used for the libraries.
set -euo pipefail
release=${1:-12}
out=$(realpath -m "${2:-dist}")
source=$(cd "$(dirname "$0")/.." && pwd)
case $release in
  12) suite=bookworm ;;
  13) suite=trixie ;;
  *) echo "deb.sh: Debian 12 or 13, not $release" >&2; exit 2 ;;
esac
[ "$(id -u)" -eq 0 ] || { echo "deb.sh: needs root, to make a root tree of Debian $release" >&2; exit 2; }
bash "$source/deploy/packages.sh" debootstrap

cache=${HACTL_CACHE:-$HOME/.cache/hactl}
tree=$cache/$suite-build
mkdir -p "$cache" "$out"
exec 9>"$tree.lock"
flock 9

# Runs a command inside the root tree, with the network of this machine and the settings of its pip.
inside() {
  local root=$1
  shift
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  for settings in /etc/pip.conf /etc/xdg/pip; do
    [ ! -e "$settings" ] || (mkdir -p "$root${settings%/*}" && cp -rT "$settings" "$root$settings")
  done
  # The user's own: debhelper has another home.
  for settings in "$HOME/.pip/pip.conf" "$HOME/.config/pip/pip.conf"; do
    [ ! -e "$settings" ] || install -Dm644 "$settings" "$root/etc/xdg/pip/pip.conf"
  done
  unshare --mount --propagation private sh -ec 'mount -t proc proc "$0/proc"; exec chroot "$0" "$@"' "$root" "$@"
}

if [ ! -e "$tree" ]; then
  rm -rf "$tree.new"
  {
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$tree.new" ${HACTL_DEBIAN_MIRROR:-}
    cp -rL /etc/ssl/certs/. "$tree.new/etc/ssl/certs/"  # also those of a proxy
    inside "$tree.new" apt-get update -qq
    inside "$tree.new" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      debhelper dpkg-dev lintian python3-venv
  } >"$tree.log" 2>&1 || { tail -n 20 "$tree.log" >&2; exit 1; }
  mv "$tree.new" "$tree"
fi

work=$tree/build
rm -rf "$work"
mkdir -p "$work/hactl"
(cd "$source" && git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -Pt "$work/hactl")
ln -s deploy/debian "$work/hactl/debian"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$source/pyproject.toml")
sed "s/@VERSION@/$version~deb$release/; s/@DATE@/$(date -R -u -d "@$(git -C "$source" log -1 --format=%ct)")/" \
  "$source/deploy/debian/changelog.in" >"$work/hactl/deploy/debian/changelog"

# -d: nothing is compiled, so that build-essential is not needed.
inside "$tree" sh -ec 'cd /build/hactl && dpkg-buildpackage -b -us -uc -d' >"$tree.log" 2>&1 ||
  { tail -n 30 "$tree.log" >&2; exit 1; }
inside "$tree" sh -ec 'cd /build && lintian --allow-root --fail-on error hactl_*.deb'
cp "$work"/hactl_*.deb "$out/"
ls -1 "$out"/hactl_*.deb
rm -rf "$work"
