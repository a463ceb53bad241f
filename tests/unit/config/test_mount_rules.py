"""File systems in cluster.yaml: what is refused, with place and hint."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from hactl.config.load import check_text, load_cluster, parse_cluster
from hactl.config.resources.resource import Resource
from hactl.model.resources import MountOptions
from tests.support.cluster_text import edited, problems

ROOT = Path(__file__).parents[3]

GOOD = """\
cluster: demo
nodes:
  - {name: n1, address: 10.0.0.11}
  - {name: n2, address: 10.0.0.12}
groups:
  - name: database
    fencing: required
    resources:
      - {name: data, mount: {device: /dev/vg0/db, directory: /srv/db, type: ext4, options: [noatime]}}
      - {name: logs, mount: {device: LABEL=logs, directory: /srv/db/logs, fsck: force}}
      - {name: pod, manifest: {content: x, directory: /srv/db/logs/pods}}
  - name: shared
    resources:
      - {name: files, mount: {device: "server:/export", directory: /srv/files, type: nfs4}}
      - {name: windows, mount: {device: //server/share, directory: /srv/share, type: cifs}}
"""

changed = partial(edited, GOOD)
DATA = "groups[0].resources[0].mount"


def test_good() -> None:
    spec = parse_cluster(GOOD)
    data = spec.groups[0].resources[0]
    assert data.options == MountOptions("/dev/vg0/db", "/srv/db", "ext4", ("noatime",))
    assert (data.start_timeout_ms, data.stop_timeout_ms) == (60_000.0, 60_000.0)
    assert [group.resources[0].options.on_block_device for group in spec.groups] == [True, False]
    assert check_text(GOOD, "cluster.yaml").warnings  # nothing can switch the nodes off


CASES = {
    "block device without required": (
        ("    fencing: required\n", ""),
        DATA,
        "two nodes that mount a file system at one time destroy it",
        "give the group `fencing: required`",
    ),
    "lease said": (("fencing: required", "fencing: lease"), DATA, "has `fencing: lease`", "`fencing: required`"),
    "overlap": (("fencing: required", "fencing: required\n    overlap: true"), "", "only addresses may", ""),
    "a device twice": (
        ("LABEL=logs", "/dev/vg0/db"),
        "groups[0].resources[1].mount.device",
        "device /dev/vg0/db is there already",
        "let one resource have it",
    ),
    "a directory twice": (
        ("directory: /srv/files,", "directory: /srv/db/,"),
        "groups[1].resources[0].mount.directory",
        "mount point /srv/db is there already",
        "let one resource have it",
    ),
    "the outer one after the inner": (
        ("directory: /srv/db/logs,", "directory: /srv,"),
        "groups[0].resources[1].mount.directory",
        "/srv is above /srv/db, which `data` mounts before it: it would hide that",
        "put `logs` before `data`",
    ),
    "below one of another group": (
        ("directory: /srv/files,", "directory: /srv/db/files,"),
        "groups[1].resources[0].mount.directory",
        "/srv/db/files is below /srv/db of group `database`",
        "put both into one group",
    ),
    "above one of another group": (
        ("directory: /srv/files,", "directory: /srv,"),
        "groups[1].resources[0].mount.directory",
        "/srv is above /srv/db, which group `database` mounts",
        "put both into one group, `files` first",
    ),
    "relative": (("directory: /srv/db,", "directory: srv/db,"), f"{DATA}.directory", "no absolute path", "begin it"),
    "with dots": (("directory: /srv/db,", "directory: /srv/../db,"), f"{DATA}.directory", "has `.`, `..`", ""),
    "the root": (("directory: /srv/db,", "directory: /,"), f"{DATA}.directory", "would hide what the system", ""),
    "the system's": (("directory: /srv/db,", "directory: /usr/,"), f"{DATA}.directory", "would hide what", ""),
    "the kernel's": (("directory: /srv/db,", "directory: /sys/x,"), f"{DATA}.directory", "would hide what", ""),
    "hactl's own": (("directory: /srv/db,", "directory: /var/lib/hactl/x,"), f"{DATA}.directory", "hactl's own", ""),
    "above hactl's own": (("directory: /srv/db,", "directory: /opt,"), f"{DATA}.directory", "hide hactl's own", ""),
    "no device": (("/dev/vg0/db", "vg0/db"), f"{DATA}.device", "neither a block device nor", "give a block device"),
    "a UUID that is none": (("/dev/vg0/db", '"UUID="'), f"{DATA}.device", "names no device", "`blkid` shows them"),
    "a type of a network": (("type: ext4", "type: nfs"), DATA, "`/dev/vg0/db` is a block device", "give host:/export"),
    "a type of a disk": (("type: nfs4", "type: ext4"), "groups[1].resources[0].mount", "a directory of a server", ""),
    "a share without type": ((", type: cifs", ""), "groups[1].resources[1].mount", "needs a `type`", "type: cifs"),
    "no data": (("type: ext4", "type: tmpfs"), f"{DATA}.type", "no file system with data", "such as ext4"),
    "a check of a server's": (
        ("type: nfs4", "fsck: force"),
        "groups[1].resources[0].mount",
        "its server checks the file system",
        "leave out `fsck`",
    ),
    "a check that writes, read-only": (
        ("fsck: force", "fsck: force, options: [ro]"),
        "groups[0].resources[1].mount",
        "which writes, and the option `ro`",
        "leave out one of them",
    ),
    "ro and rw": (("[noatime]", "[ro, rw]"), DATA, "both options", "give one of them"),
    "options in one text": (("[noatime]", '["noatime,nodev"]'), f"{DATA}.options[0]", "is not one option", "by itself"),
    "an option of fstab": (("[noatime]", "[nofail]"), f"{DATA}.options[0]", "has no place here", "/etc/fstab"),
    "a bind mount": (("[noatime]", "[bind]"), f"{DATA}.options[0]", "has no place here", "the file system itself"),
    "an option of systemd": (("[noatime]", "[x-systemd.automount]"), f"{DATA}.options[0]", "is for systemd", ""),
    "a policy that is none": (("fsck: force", "fsck: always"), "groups[0].resources[1].mount.fsck", "", "auto, never"),
    "a file below, before it is mounted": (
        ("      - {name: pod, manifest: {content: x, directory: /srv/db/logs/pods}}\n", ""),
        "groups[0].resources[0].manifest.directory",
        "is in the file system of `data`, which is mounted later",
        "put `data` before `pod`",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_refused(case: str) -> None:
    change, path, problem, hint = CASES[case]
    text = changed(change)
    if case == "a file below, before it is mounted":
        pod = "      - {name: pod, manifest: {content: x, directory: /srv/db/pods}}\n"
        text = edited(text, ("    resources:\n      - {name: data", f"    resources:\n{pod}      - {{name: data"))
    found = problems(text)
    fitting = [one for one in found if problem in one.problem and hint in one.hint and one.path.startswith(path)]
    assert fitting, found


def test_each_problem_is_reported_at_once() -> None:
    text = changed(("    fencing: required\n", ""), ("LABEL=logs", "/dev/vg0/db"), ("[noatime]", "[nofail]"))
    assert len(problems(text)) >= 2


def test_the_example_and_the_page_are_sound() -> None:
    """deploy/examples/storage.yaml, and every resource in docs/storage.md."""
    assert load_cluster(ROOT / "deploy/examples/storage.yaml").groups[0].fencing == "required"
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs/storage.md").read_text(), re.MULTILINE | re.DOTALL)
    documents = [YAML(typ="safe").load(block) for block in blocks]
    listed = [
        group["resources"] for document in documents if isinstance(document, dict) for group in document["groups"]
    ]
    listed += [document for document in documents if isinstance(document, list)]
    made = [Resource.model_validate(resource).spec() for resources in listed for resource in resources]
    assert sum(spec.kind == "mount" for spec in made) >= 5
