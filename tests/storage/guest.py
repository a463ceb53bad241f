"""A virtual machine with Debian's kernel and this machine's files: they are served to it (9p), and what it writes stays
in its memory. Needs qemu-system-x86, busybox and kmod, but not KVM."""

from __future__ import annotations

import gzip
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.watchdog.image import ROOT, _cpio, _kernel_package

MEMORY_MIB = 1536
# What the first process needs to find this machine's files.
_FIRST_MODULES = ("virtio_pci", "9p", "9pnet_virtio", "overlay")

_INIT = """\
#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc p /proc; $B mount -t sysfs s /sys; $B mount -t devtmpfs d /dev
for module in $($B cat /order); do $B insmod /mod/$module; done
$B mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,ro,cache=loose host /lower
$B mount -t tmpfs t /upper; $B mkdir /upper/u /upper/w
$B mount -t overlay -o lowerdir=/lower,upperdir=/upper/u,workdir=/upper/w o /root
for place in proc sys dev; do $B mount --move /$place /root/$place; done
exec $B switch_root /root /bin/bash -c @SCRIPT@
"""

_SCRIPT = """\
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p /lib/modules; mount --bind {modules} /lib/modules
for place in /run /mnt /srv /var/lib/nfs /etc/lvm /etc/iscsi /etc/drbd.d /sys/fs/cgroup; do
  mkdir -p $place; mount -t tmpfs t $place
done
mkdir -p /run/lock /run/hactl; ip link set lo up; hostname n1
cd {root}; PYTHONPATH={root} {python} -m tests.storage.scene {scene}
echo o >/proc/sysrq-trigger; sleep 60
"""


def play(directory: Path, scene: str, within_s: float = 600.0) -> str:
    """Boot, play a scene (`tests.storage.scene`), switch off; all that was written to the console."""
    kernel_tree = _kernel_package()
    (kernel,) = (kernel_tree / "boot").glob("vmlinuz-*")
    initrd = directory / "initrd.gz"
    with gzip.open(initrd, "wb", compresslevel=1) as out:
        for chunk in _cpio(_tree(directory / "tree", kernel_tree, scene)):
            out.write(chunk)
    argv = [
        "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", str(MEMORY_MIB), "-smp", "1",
        "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
        "-kernel", str(kernel), "-initrd", str(initrd), "-append", "console=ttyS0 loglevel=3 panic=-1 quiet",
        "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
    ]  # fmt: skip
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=within_s, check=True)
    return done.stdout.decode(errors="replace").replace("\r", "")


def _tree(tree: Path, kernel_tree: Path, scene: str) -> Path:
    """The initial file system."""
    (modules,) = (kernel_tree / "lib/modules").iterdir()
    for name in ("bin", "mod", "lower", "upper", "root", "proc", "sys", "dev"):
        (tree / name).mkdir(parents=True)
    shutil.copy("/usr/bin/busybox", tree / "bin/busybox")
    if not (modules / "modules.dep").exists():
        subprocess.run(["depmod", "-b", kernel_tree, modules.name], check=True)
    order = list(dict.fromkeys(module for name in _FIRST_MODULES for module in _with_needed(modules, name)))
    for module in order:
        shutil.copy(module, tree / "mod")
    (tree / "order").write_text(" ".join(module.name for module in order))
    script = _SCRIPT.format(modules=modules.parent, root=ROOT, python=sys.executable, scene=scene)
    (tree / "init").write_text(_INIT.replace("@SCRIPT@", shlex.quote(script)))
    (tree / "init").chmod(0o755)
    return tree


def _with_needed(modules: Path, name: str) -> list[Path]:
    """A module's file, after those that it needs."""
    for line in (modules / "modules.dep").read_text().splitlines():
        file, _, needed = line.partition(":")
        if Path(file).name == f"{name}.ko":
            return [modules / path for path in (*reversed(needed.split()), file)]
    return []  # built in
