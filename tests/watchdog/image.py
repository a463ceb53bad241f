"""The virtual machine's kernel and initial file system: Debian's kernel, its watchdog modules, and the parts of this
Python that the guard imports. Downloaded once, into $HACTL_CACHE, else ~/.cache/hactl."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
META_PACKAGE = "linux-image-amd64"
MODULES = ("watchdog", "i6300esb", "softdog")

# The modules of a Python without site-packages that has imported all that the guest runs.
_LOADED = """
import json, sys
sys.path.insert(0, sys.argv[1])
import ctypes, encodings.ascii, encodings.utf_8, select, shutil, traceback
import fencing.guard.program, tests.support.guard_client
files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
print(json.dumps([sys.version_info[:2], sys.base_prefix, sys.platlibdir, sorted({file for file in files if file})]))
"""


@dataclass(frozen=True)
class Image:
    """Paths of the kernel and of the compressed file system."""

    kernel: Path
    initrd: Path


def build(directory: Path) -> Image:
    """Make the image in `directory`."""
    unpacked = _kernel_package()
    (kernel,) = (unpacked / "boot").glob("vmlinuz-*")
    tree = directory / "tree"
    for name in ("dev", "proc", "sys", "run", "tmp", "modules", "usr/bin"):
        (tree / name).mkdir(parents=True)
    for name in MODULES:
        (module,) = unpacked.glob(f"lib/modules/*/kernel/drivers/watchdog/{name}.ko")
        shutil.copy(module, tree / "modules")
    _copy_python(tree)
    shutil.copy(Path(__file__).with_name("guest.py"), tree / "init")
    (tree / "init").chmod(0o755)
    archive = directory / "initrd.gz"
    with gzip.open(archive, "wb", compresslevel=1) as out:
        for chunk in _cpio(tree):
            out.write(chunk)
    return Image(kernel, archive)


def _kernel_package() -> Path:
    """Debian's newest kernel package, unpacked."""
    cache = Path(os.environ.get("HACTL_CACHE", Path.home() / ".cache/hactl"))
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "kernel.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = sorted(cache.glob("kernel-*"))
        if kept:
            return kept[-1]
        depends = _run(["apt-cache", "depends", META_PACKAGE])
        match = re.search(r"Depends: (linux-image-\S+)", depends)
        assert match, f"{META_PACKAGE} depends on no kernel: {depends}"
        staged = cache / "staged"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        _run(["apt-get", "-o", "APT::Sandbox::User=root", "download", "-qq", match[1]], staged)
        (package,) = staged.glob("*.deb")
        _run(["dpkg-deb", "-x", str(package), "tree"], staged)
        place = cache / f"kernel-{match[1]}"
        (staged / "tree").rename(place)
        shutil.rmtree(staged)
        return place


def _copy_python(tree: Path) -> None:
    """Copy the interpreter, the files that it loads and the libraries they are linked to, to the places they have
    here."""
    python = Path(sys.executable).resolve()
    told = _run([str(python), "-I", "-S", "-c", _LOADED, str(ROOT)])
    version, prefix, libdir, files = json.loads(told)
    wanted = {Path(file) for file in files}
    library = Path(prefix, libdir, f"python{version[0]}.{version[1]}")
    wanted.add(library / "os.py")
    shared = {python, *(path for path in wanted if path.suffix == ".so")}
    for path in list(shared):
        for line in _run(["ldd", str(path)]).splitlines():
            if match := re.search(r"(/\S+) \(0x", line):
                wanted.add(Path(match[1]))
    for path in wanted | {python}:
        place = tree / ("opt/hactl" / path.relative_to(ROOT) if path.is_relative_to(ROOT) else str(path).lstrip("/"))
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    (tree / str(library / "lib-dynload").lstrip("/")).mkdir(parents=True, exist_ok=True)
    # Compiled here: the machine that qemu emulates is slow.
    _run([str(python), "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(tree)])
    (tree / "usr/bin/python3").symlink_to(python)


def _cpio(tree: Path) -> Iterator[bytes]:
    """The tree in the format `newc`. Source: the kernel's documentation, *initramfs buffer format*."""
    for number, path in enumerate([*sorted(tree.rglob("*")), None], 1):
        name = str(path.relative_to(tree)) if path else "TRAILER!!!"
        mode = path.lstat().st_mode if path else 0
        content = b""
        if path and path.is_symlink():
            content = str(path.readlink()).encode()
        elif path and path.is_file():
            content = path.read_bytes()
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % value for value in fields) + name.encode() + b"\0"
        yield head + bytes(-len(head) % 4)
        yield content + bytes(-len(content) % 4)


def _run(argv: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{argv[0]}: {done.stdout}{done.stderr}"
    return done.stdout
