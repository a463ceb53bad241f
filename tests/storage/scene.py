"""Within the virtual machine: storage is set up, then the resources of docs/storage.md are started and stopped.

Prints a line `RESULT` with JSON at its end: what each step gave.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from fencing.guard import stop
from hactl.config.resources.resource import Resource as Settings
from hactl.resources.base import NodeContext, Observation, Resource
from hactl.resources.factory import make
from tests.watchdog.image import ROOT

RESULTS: dict[str, Any] = {}
CONTEXT = NodeContext("n1", "/run/hactl", None)

LVM = """\
activation { udev_sync=0 udev_rules=0 verify_udev_operations=1 }
global { system_id_source="uname" event_activation=0 use_lvmpolld=0 }
devices { obtain_device_list_from_udev=0 use_devicesfile=0 }
backup { backup=0 archive=0 }
"""
DRBD = """\
global { usage-count no; }
resource db {
  device /dev/drbd0; disk @DISK@; meta-disk internal;
  on n1 { address 127.0.0.1:7789; }
  on n2 { address 127.0.0.2:7789; }
}
"""


def sh(command: str) -> str:
    """By a shell; raises with what it said."""
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def documented(heading: str) -> list[dict[str, Any]]:
    """The resources in the block of docs/storage.md that follows this text."""
    text = (ROOT / "docs/storage.md").read_text().partition(heading)[2]
    return list(YAML(typ="safe").load(re.split(r"^```.*$", text, maxsplit=2, flags=re.MULTILINE)[1]))


def resource(settings: dict[str, Any], **mount: Any) -> Resource:
    """As a daemon makes it; `mount`: other settings of a file system."""
    if "mount" in settings:
        settings = {**settings, "mount": {**settings["mount"], **mount}}
    else:
        settings = {**settings, "monitor_timeout": "60s"}  # the machine that qemu emulates is slow
    return make(Settings.model_validate(settings).spec(), CONTEXT, "db")


def does(step: str, work: Coroutine[Any, Any, Any]) -> Any:
    """Do it, and note what it gave: a health, "" for nothing, or the error."""
    begun = time.monotonic()
    try:
        given = asyncio.run(asyncio.wait_for(work, 90))
        shown = given.health if isinstance(given, Observation) else given or ""
    except Exception as error:
        given, shown = None, f"{type(error).__name__}: {error}"
    RESULTS[step] = shown
    print(f"STEP {step}: {shown!r} {given!r} ({time.monotonic() - begun:.1f} s)", flush=True)
    return given


def life(first: Resource, mount: Resource) -> None:
    """What makes the device appear, and the file system on it: twice, the second time stopped by the guard."""
    does("first before", first.probe())
    does("first start", first.start({}))
    does("first probe", first.probe())
    does("ready", mount.ready())
    does("start", mount.start({}))
    does("monitor", mount.monitor())
    user = subprocess.Popen(["sleep", "600"], cwd=mount.spec.options.directory)  # type: ignore[union-attr]
    does("stop", mount.stop())
    RESULTS["user"] = user.wait(10)
    does("probe", mount.probe())
    does("first stop", first.stop())
    does("first after", first.probe())
    does("first again", first.start({}))
    does("start again", mount.start({}))
    steps = mount.guard_steps()
    problems = [stop.attempt(step) for _ in range(5) for step in steps]
    RESULTS["guard"] = problems[-1]
    does("first killed", first.kill())


def loop(path: str) -> str:
    """A disk of 200 MB."""
    sh(f"truncate -s 200M {path}")
    return sh(f"losetup -f --show {path}")


def lvm() -> None:
    """A volume group on a disk; made by another node."""
    Path("/etc/lvm/lvm.conf").write_text(LVM)
    sh("hostname n2")
    disk = loop("/srv/disk")
    sh(f"pvcreate -q {disk}; vgcreate -q vg0 {disk}; lvcreate -q -y -n db -L 100M vg0; mkfs.ext4 -q /dev/vg0/db")
    sh("vgchange -q -a n vg0; hostname n1")
    RESULTS["not ours"] = subprocess.run(["vgchange", "-a", "y", "vg0"], check=False).returncode != 0
    volumes, data = documented("**LVM.**")
    life(resource(volumes), resource(data, directory="/mnt/db"))


def iscsi() -> None:
    """A LUN of a target on this machine."""
    sh("modprobe iscsi_tcp; modprobe sd_mod; truncate -s 200M /srv/lun; mkdir -p /run/lock/iscsi")
    Path("/etc/iscsi/initiatorname.iscsi").write_text("InitiatorName=iqn.2026-01.example:n1\n")
    Path("/etc/iscsi/iscsid.conf").write_text("node.startup = manual\n")
    sh("tgtd; sleep 2; iscsid")
    sh("tgtadm --lld iscsi --op new --mode target --tid 1 -T iqn.2026-01.example:db")
    sh("tgtadm --lld iscsi --op new --mode logicalunit --tid 1 --lun 1 -b /srv/lun")
    sh("tgtadm --lld iscsi --op bind --mode target --tid 1 -I ALL")
    sh("iscsiadm -m discovery -t st -p 127.0.0.1")
    lun, data = documented("**iSCSI.**")
    first = resource(lun)
    does("made", first.start({}))
    for _ in range(100):
        if Path("/dev/sda").exists():
            break
        time.sleep(0.1)
    sh("mkfs.ext4 -q -U 5d4a0000-0000-4000-8000-000000000000 /dev/sda")
    does("unmade", first.stop())
    life(first, resource(data, device="UUID=5d4a0000-0000-4000-8000-000000000000", directory="/mnt/db"))


def drbd() -> None:
    """One of two nodes; the other is away."""
    sh("modprobe drbd")
    Path("/etc/drbd.conf").write_text(DRBD.replace("@DISK@", loop("/srv/disk")))
    sh("drbdadm create-md --force db; drbdadm up db; drbdadm primary --force db; mkfs.ext4 -q /dev/drbd0")
    sh("drbdadm secondary db")
    promoted, data = documented("**DRBD.**")
    life(resource(promoted), resource(data, directory="/mnt/db"))


def nfs() -> None:
    """A server on this machine, which goes away while the file system is in use."""
    sh("modprobe nfsd; modprobe nfs; mkdir -p /var/lib/nfs/v4recovery /var/lib/nfs/rpc_pipefs /srv/export")
    sh("mount -t tmpfs t /srv/export; mount -t nfsd n /proc/fs/nfsd; mount -t rpc_pipefs r /var/lib/nfs/rpc_pipefs")
    Path("/etc/exports").write_text("/srv/export *(rw,no_root_squash,fsid=0,insecure,no_subtree_check)\n")
    sh("exportfs -ra; rpc.nfsd -N 3 -V 4 4; rpc.mountd -N 3 -N 2")
    (files,) = documented("## Network file systems")
    settings = {**files, "monitor_timeout": "3s", "stop_timeout": "20s"}
    mount = resource(settings, device="127.0.0.1:/", directory="/mnt/files")
    does("ready", mount.ready())
    does("start", mount.start({}))
    does("monitor", mount.monitor())
    Path("/mnt/files/file").write_text("kept")
    does("stop", mount.stop())
    RESULTS["kept"] = Path("/srv/export/file").read_text()
    does("start again", mount.start({}))
    user = subprocess.Popen(["sh", "-c", "cd /mnt/files; while :; do date >dates; sync dates; done"])
    time.sleep(1)
    sh("ip link set lo down")
    time.sleep(1)
    does("monitor of one that is gone", mount.monitor())
    does("stop of one that is gone", mount.stop())
    does("probe", mount.probe())
    RESULTS["user"] = user.wait(30)


def main() -> None:
    """The scene that is named."""
    scenes: dict[str, Callable[[], None]] = {"lvm": lvm, "iscsi": iscsi, "drbd": drbd, "nfs": nfs}
    try:
        for module in ("ext4", "loop", "dm-mod"):
            sh(f"modprobe {module}")
        scenes[sys.argv[1]]()
    except Exception as error:
        RESULTS["error"] = f"{type(error).__name__}: {error}"
    print(f"\nRESULT {json.dumps(RESULTS)}", flush=True)


if __name__ == "__main__":
    main()
