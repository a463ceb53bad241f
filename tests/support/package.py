"""The Debian package of this tree: built once for each content, in $HACTL_CACHE, else ~/.cache/hactl."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]

# What the package is made of; the commit gives it a date only.
PARTS = ("LICENSE", "README.md", "pyproject.toml", "deploy", "election", "fencing", "hactl", "templates", "tools")
# Not in it, though below those.
NOT_PARTS = (":!deploy/ansible", ":!deploy/grafana", ":!deploy/prometheus", ":!tools/grafana")
KEPT = 6
BUILD_S = 900


def cache() -> Path:
    """Where what is made once is kept."""
    path = Path(os.environ.get("HACTL_CACHE", Path.home() / ".cache/hactl"))
    path.mkdir(parents=True, exist_ok=True)
    return path


def built_package(release: int = 12, source: Path = ROOT) -> Path:
    """The package for this release of Debian, of this tree (a git repository)."""
    packages = cache() / "packages"
    place = packages / f"{release}-{_digest(source)}"
    packages.mkdir(exist_ok=True)
    with (packages / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            staged = packages / "new"
            shutil.rmtree(staged, ignore_errors=True)
            argv = ["bash", str(source / "deploy/deb.sh"), str(release), str(staged)]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=BUILD_S, check=False)
            assert done.returncode == 0, f"deb.sh failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
            staged.rename(place)
        place.touch()
        for old in sorted(packages.glob("*-*"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
            shutil.rmtree(old)
    return next(place.glob("*.deb"))


def package_before(directory: Path, release: int = 12) -> Path:
    """The package of the commit before, as an earlier version than every other."""
    source = directory / "before"
    commit = _git(ROOT, "rev-parse", "HEAD~1").strip()
    _git(directory, "clone", "--quiet", "--shared", "--no-checkout", str(ROOT), str(source))
    _git(source, "checkout", "--quiet", commit)
    return with_version(built_package(release, source), "~before", directory)


def with_version(package: Path, suffix: str, directory: Path) -> Path:
    """The same package as another version: `suffix` is added to its own ("~…" makes it an earlier one)."""
    unpacked = directory / f"unpacked{suffix}"
    subprocess.run(["dpkg-deb", "--raw-extract", package, unpacked], check=True)
    control = unpacked / "DEBIAN/control"
    lines = control.read_text().splitlines(keepends=True)
    control.write_text("".join(f"{line.rstrip()}{suffix}\n" if line.startswith("Version:") else line for line in lines))
    later = directory / f"hactl{suffix}.deb"
    subprocess.run(["dpkg-deb", "-Zgzip", "-z1", "--root-owner-group", "--build", unpacked, later], check=True)
    shutil.rmtree(unpacked)
    return later


def _git(place: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(place), *words], capture_output=True, text=True, check=True).stdout


def _digest(source: Path) -> str:
    names = _git(
        source, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PARTS, *NOT_PARTS
    ).split("\0")
    digest = hashlib.sha256()
    for path in (source / name for name in sorted(names) if name):
        if path.is_file():
            digest.update(
                f"{path.relative_to(source)}\0{path.stat().st_mode & 0o111}\0".encode() + path.read_bytes() + b"\0"
            )
    return digest.hexdigest()[:16]
