"""The table of mounts, as the kernel writes it (proc(5))."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fencing.linux import mounts
from fencing.linux.mounts import parse, top, with_children
from fencing.linux.unmount import Target, mounts_of

TABLE = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
40 22 7:0 / /var/lib/my\\040sql rw,noatime shared:5 master:1 - ext4 /dev/mapper/vg-my\\134sql rw,errors=remount-ro
41 40 0:30 / /var/lib/my\\040sql/tmp rw - tmpfs none rw,size=4k
42 22 7:0 /below /srv/bound rw - ext4 /dev/loop0 rw
43 22 0:31 / /mnt rw - nfs4 server:/export\\011tab rw,vers=4.2
44 43 0:32 / /mnt rw - tmpfs none rw
a line that is none
45 22 0:33 / /net rw - nfs4
"""


def test_a_table() -> None:
    seen = parse(TABLE)
    assert [mount.number for mount in seen] == [22, 40, 41, 42, 43, 44]
    data = seen[1]
    assert (data.point, data.source, data.device) == ("/var/lib/my sql", "/dev/mapper/vg-my\\sql", "7:0")
    assert (data.options, data.type) == (("rw", "noatime"), "ext4")
    assert data.super_options == ("rw", "errors=remount-ro")
    assert seen[4].source == "server:/export\ttab"


def escaped(text: str) -> str:
    return "".join(f"\\{ord(char):03o}" if char in " \t\n\\#" else char for char in text)


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="\0/\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), min_size=1
)


@given(NAMES, NAMES)
def test_whatever_a_name_holds(directory: str, device: str) -> None:
    line = f"40 22 7:0 / /{escaped(directory)} rw shared:5 - ext4 /dev/{escaped(device)} rw\n"
    (mount,) = parse(line)
    assert (mount.point, mount.source) == (f"/{directory}", f"/dev/{device}")


@given(st.text())
def test_whatever_is_read(text: str) -> None:
    for mount in parse(text):
        assert isinstance(mount.number, int)


def test_of_two_on_one_point_the_upper_is_seen() -> None:
    seen = parse(TABLE)
    there = top(seen, "/mnt")
    assert there is not None and there.number == 44
    assert top(seen, "/mnt/") is None
    assert top(seen, "/nowhere") is None


def test_the_order_in_which_it_can_be_unmounted() -> None:
    seen = parse(TABLE)
    assert [mount.number for mount in with_children(seen, [seen[1]])] == [41, 40]
    everything = [mount.number for mount in with_children(seen, [seen[0]])]
    assert sorted(everything) == [22, 40, 41, 42, 43, 44]
    assert everything.index(41) < everything.index(40) < everything.index(22)
    assert everything.index(44) < everything.index(43)


def test_the_mounts_of_a_disk_and_of_a_server() -> None:
    seen = parse(TABLE)
    # Its device is not on this machine: what is on the mount point tells.
    target = Target("/var/lib/my sql", "/dev/gone", "/dev/gone")
    assert [mount.number for mount in mounts_of(seen, target)] == [40, 42]
    assert mounts_of(seen, Target("/var/lib/my sql/tmp", "/dev/gone", "/dev/gone")) == []
    assert mounts_of(seen[:5], Target("/mnt", "server:/export\ttab")) == [seen[4]]
    assert mounts_of(seen[:5], Target("/mnt", "server:/other")) == []
    # In another namespace: by the number that it has here.
    assert mounts_of(seen[:5], Target("/mnt", "server:/other"), {"0:31"}) == [seen[4]]
    assert mounts_of(seen[:5], Target("/mnt", "server:/export\ttab"), {"0:99"}) == []


def test_an_escape_that_is_none_stays() -> None:
    assert mounts.plain("a\\040b\\9\\13") == "a b\\9\\13"
