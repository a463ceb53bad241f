"""The kind `mount` on real disks: loop devices with ext4, damaged ones, and a server that does not answer."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from fencing.guard import stop
from fencing.linux import mounts
from fencing.linux import unmount as unmounting
from hactl.resources.base import NodeContext, Observation, ResourceError
from hactl.resources.mount import Mount, here
from hactl.resources.mount import resource as module
from tests.support import disks
from tests.support.disks import disk, sh
from tests.support.hung_files import hung_files
from tests.support.specs import resource_spec

pytestmark = pytest.mark.root

T = TypeVar("T")


class Place:
    """A disk, and where it is to be mounted."""

    def __init__(self, device: str, image: Path, directory: Path, state: Path) -> None:
        self.device, self.image, self.directory, self._state = device, image, directory, state

    def mount(self, timings: dict[str, float] | None = None, **options: Any) -> Mount:
        given = {"device": self.device, "directory": str(self.directory), **options}
        spec = resource_spec("data", "mount", given, **(timings or {}))
        return Mount(spec, NodeContext("n1", str(self._state), None), "db")

    @property
    def seen(self) -> mounts.Mount | None:
        return mounts.top(mounts.read(), str(self.directory))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    image, directory = tmp_path / "image", tmp_path / "var lib" / "db"
    with disk(image) as device:
        try:
            yield Place(device, image, directory, tmp_path / "state")
        finally:
            while mounts.top(mounts.read(), str(directory)) is not None:
                sh("umount", "-l", directory)


def do(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 60))


def test_a_life(place: Place) -> None:
    mount = place.mount(options=["noatime", "nodev"])
    assert do(mount.ready()) == ""
    assert do(mount.probe()) == Observation("stopped")
    do(mount.start({}))
    assert place.seen is not None
    assert (place.seen.source, place.seen.type) == (place.device, "ext4")
    assert {"noatime", "nodev"} <= set(place.seen.options)
    do(mount.start({}))  # again
    assert do(mount.probe()).health == do(mount.monitor()).health == "running"
    (place.directory / "file").write_text("x")
    do(mount.stop())
    assert place.seen is None
    assert do(mount.probe()) == Observation("stopped")
    do(mount.stop())  # again
    do(mount.start({}))
    assert (place.directory / "file").read_text() == "x"
    do(mount.kill())
    assert place.seen is None


def test_by_uuid_and_by_label(place: Place) -> None:
    """Also where no udev has made links."""
    sh("e2label", place.device, "the data")
    uuid = sh("blkid", "-p", "-o", "value", "-s", "UUID", place.device).strip()
    for name in (f"UUID={uuid}", "LABEL=the data"):
        mount = place.mount(device=name)
        do(mount.start({}))
        assert place.seen is not None and place.seen.source == place.device
        again = place.mount(device=name)  # that of the next daemon
        assert do(again.probe()).health == "running"
        step = again.guard_steps()[0]
        assert (stop.check(step), stop.attempt(step)) == ("", "")
        assert place.seen is None


def test_a_device_that_comes_later_is_waited_for(place: Place, tmp_path: Path) -> None:
    late = Path(f"/dev/hactl-test-{os.getpid()}")
    mount = place.mount(device=str(late))
    assert f"no block device {late}" in do(mount.ready())

    async def both() -> None:
        starting = asyncio.ensure_future(mount.start({}))
        await asyncio.sleep(0.3)
        assert not starting.done()
        late.symlink_to(place.device)  # noqa: ASYNC240
        await starting

    try:
        do(both())
        assert place.seen is not None
        assert do(mount.probe()).health == "running"
        do(mount.stop())
    finally:
        late.unlink(missing_ok=True)


def test_a_device_that_does_not_come(place: Place) -> None:
    mount = place.mount(device="/dev/no-such", timings={"start_timeout_ms": 400.0})
    with pytest.raises(ResourceError, match="there is no device /dev/no-such on this node"):
        do(mount.start({}))


def test_what_is_not_mounted(place: Place, tmp_path: Path) -> None:
    """Each with the reason in words, and nothing is mounted then."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    sh("mount", place.device, elsewhere)
    refused(place, place.mount(), f"{place.device} is mounted on {elsewhere}, not on {place.directory}")
    sh("umount", elsewhere)
    place.directory.mkdir(parents=True)
    sh("mount", "-t", "tmpfs", "none", place.directory)
    with pytest.raises(ResourceError, match="none is mounted on"):
        do(place.mount().start({}))
    sh("umount", place.directory)
    refused(place, place.mount(type="xfs"), "has the file system ext4, not xfs: set `type: ext4`")
    holder = subprocess.Popen(
        [
            "python3",
            "-c",
            f"import os,time; os.open('{place.device}', os.O_RDWR|os.O_EXCL); print(flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    refused(place, place.mount(), f"{place.device} is in use on this node: python3 ({holder.pid}")
    holder.kill()
    holder.wait()
    sh("wipefs", "-a", place.device)
    refused(place, place.mount(), "has no file system that blkid knows")


def refused(place: Place, mount: Mount, words: str) -> None:
    with pytest.raises(ResourceError) as caught:
        do(mount.start({}))
    assert words in str(caught.value)
    assert place.seen is None


def test_a_write_protected_device_is_not_mounted_for_writing(place: Place) -> None:
    sh("blockdev", "--setro", place.device)
    with pytest.raises(ResourceError, match=r"read-only|write-protected"):
        do(place.mount(fsck="never").start({}))
    do(place.mount().kill())
    do(place.mount(options=["ro"]).start({}))
    assert do(place.mount(options=["ro"]).monitor()).health == "running"


def test_damage_is_a_matter_for_a_person(place: Place) -> None:
    sh("losetup", "-d", place.device)
    disks.damage(place.image)
    place.device = disks.attach(place.image)
    refused(place, place.mount(), f"run on one node: e2fsck -f {place.device}")
    sh("e2fsck", "-f", "-y", place.device, ok=False)
    do(place.mount(fsck="force").start({}))
    assert place.seen is not None


def test_a_journal_is_replayed_and_safe_repairs_are_made(place: Place) -> None:
    do(place.mount().start({}))
    with (place.directory / "file").open("w") as file:
        file.write("kept")
        file.flush()
        os.fsync(file.fileno())
        power_cut(place)
    do(place.mount().kill())
    # A count that is wrong: e2fsck -p repairs it, with exit status 1.
    sh("debugfs", "-w", "-R", "set_super_value free_blocks_count 1", place.device)
    sh("debugfs", "-w", "-R", "set_super_value state 2", place.device)
    do(place.mount().start({}))
    assert (place.directory / "file").read_text() == "kept"
    do(place.mount().stop())
    assert disks.is_clean(place.device)


def power_cut(place: Place) -> None:
    import fcntl
    import struct

    descriptor = os.open(place.directory, os.O_RDONLY)
    fcntl.ioctl(descriptor, unmounting._SHUTDOWN, struct.pack("I", 2))
    os.close(descriptor)


def test_one_that_has_become_read_only_has_failed(place: Place) -> None:
    mount = place.mount(options=["errors=remount-ro"])
    do(mount.start({}))
    Path(f"/sys/fs/ext4/{Path(place.device).name}/trigger_fs_error").write_text("test")
    seen = do(mount.monitor())
    assert seen.health == "failed"
    assert "read-only because of an error" in seen.detail or "is read-only" in seen.detail
    do(mount.stop())
    do(mount.start({}))  # checked, and mounted again
    assert do(mount.monitor()).health == "running"
    sh("mount", "-o", "remount,ro", place.directory)
    assert f"{place.directory} is read-only" in do(mount.monitor()).detail
    sh("mount", "-o", "remount,rw", place.directory)
    power_cut(place)
    assert "was shut down" in do(mount.monitor()).detail


def test_no_space_is_said(place: Place) -> None:
    mount = place.mount()
    do(mount.start({}))
    seen = do(mount.monitor())
    assert seen.warned is not None and seen.warned.text == ""
    with (place.directory / "big").open("wb") as file, pytest.raises(OSError):
        while True:
            file.write(bytes(1 << 20))
            file.flush()
    seen = do(mount.monitor())
    assert (seen.health, seen.warned and seen.warned.text) == ("running", f"{place.directory} has no space left")


def run(*argv: str | Path) -> None:
    sh(*argv)


def watched(mount: Mount, act: Callable[[], None], wanted: Callable[[Observation], bool]) -> float:
    """Seconds from the act to the report of it."""

    async def watch() -> float:
        seen: list[tuple[float, Observation]] = []
        watching = asyncio.ensure_future(mount.watch(lambda news: seen.append((time.monotonic(), news))))
        await asyncio.sleep(0.2)
        assert seen == []
        begun = time.monotonic()
        await asyncio.to_thread(act)
        async with asyncio.timeout(10):
            while not any(wanted(news) for _, news in seen):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        watching.cancel()
        return next(at for at, news in seen if wanted(news)) - begun

    return do(watch())


def test_somebody_unmounts_it_or_has_it_read_only(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an event, not by the look that comes every few seconds."""
    monkeypatch.setattr(module, "_LOOK_AGAIN_S", 60.0)
    mount = place.mount()
    do(mount.start({}))
    watched(mount, lambda: run("umount", place.directory), lambda news: news.health == "stopped")
    do(mount.start({}))
    watched(
        mount,
        lambda: run("mount", "-o", "remount,ro", place.directory),
        lambda news: news.health == "failed" and "read-only" in news.detail,
    )


def test_errors_that_it_goes_on_with_are_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """ext4 goes on by default, `errors=continue`."""
    monkeypatch.setattr(module, "_LOOK_AGAIN_S", 0.05)
    mount = place.mount(options=["errors=continue"])
    do(mount.start({}))
    trigger = Path(f"/sys/fs/ext4/{Path(place.device).name}/trigger_fs_error")
    watched(
        mount,
        lambda: run("sh", "-c", f"echo test > {trigger}"),
        lambda news: news.warned is not None and "has found 1 errors in itself" in news.warned.text,
    )


def test_the_guard_unmounts_it(place: Place) -> None:
    mount = place.mount()
    step = mount.guard_steps()[0]
    assert stop.attempt(step) == ""  # not mounted: stopped
    do(mount.start({}))
    user = subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do date >file; done"], cwd=place.directory)
    time.sleep(0.1)
    problems = [stop.attempt(step) for _ in range(10)]
    assert "" in problems
    assert place.seen is None
    assert user.wait(5) == -9


def test_a_server_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system of FUSE stands in for one of NFS: a process that waits for it cannot be killed. It is unmounted,
    and it is said how."""
    monkeypatch.setattr(unmounting, "_SERVER_S", 0.3)
    with hung_files(tmp_path / "hung", taking=True) as hung:
        spec = resource_spec(
            "data",
            "mount",
            {"device": "hung", "directory": str(hung.path)},
            monitor_timeout_ms=300.0,
            stop_timeout_ms=6000.0,
        )
        mount = Mount(spec, NodeContext("n1", str(tmp_path), None))
        assert do(mount.probe()).health == "running"
        words = f"{hung.path} does not answer: the storage hangs"
        assert do(mount.monitor()) == Observation("failed", words, certain=False)
        user = subprocess.Popen(["ls", hung.path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.2)
        do(mount.stop())
        assert mounts.top(mounts.read(), str(hung.path)) is None
        user.wait(10)
        assert not hung.given_up


def test_a_stop_that_is_given_up_ends_with_its_thread(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one does not come in its way."""
    mount = place.mount(timings={"stop_timeout_ms": 20_000.0})
    do(mount.start({}))
    user = subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], cwd=place.directory)
    time.sleep(0.1)

    async def cut() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(mount.stop(), 0.2)
        assert place.seen is not None
        await mount.kill()

    begun = time.monotonic()
    do(cut())
    assert time.monotonic() - begun < 4.0  # its thread did not wait for the end of the time
    assert place.seen is None
    assert user.wait(5) == -9


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{device} /elsewhere ext4 defaults 0 2", "fstab line 2 mounts"),
        ("/dev/sdz {directory} ext4 noatime", "fstab line 2 mounts /dev/sdz on"),
        ("UUID={uuid} /elsewhere ext4 defaults 0 2", ""),  # without udev nobody knows
        ("{device} {directory} ext4 defaults,noauto 0 2", ""),
        ("# {device} {directory} ext4 defaults 0 2", ""),
        ("/dev/sdz /elsewhere ext4 defaults 0 2", ""),
    ],
)
def test_fstab(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, words: str) -> None:
    monkeypatch.setattr(here, "FSTAB", tmp_path / "fstab")
    directory = str(place.directory).replace(" ", "\\040")
    text = line.format(device=place.device, directory=directory, uuid="0c3e")
    here.FSTAB.write_text(f"# a comment\n{text}\n")
    problems = here.check_options(place.mount().spec)
    assert len(problems) == bool(words)
    assert all(words in problem for problem in problems)


def test_a_unit_of_systemd_that_mounts_it_at_boot(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(here, "UNITS", tmp_path)
    wants = tmp_path / "multi-user.target.wants"
    wants.mkdir()
    name = f"{here.unit_name(str(place.directory))}.mount"
    (wants / name).symlink_to("/etc/systemd/system/x.mount")
    (problem,) = here.check_options(place.mount().spec)
    assert f"systemctl disable {name}" in problem


def test_the_name_of_a_unit() -> None:
    assert here.unit_name("/var/lib/my sql-1") == "var-lib-my\\x20sql\\x2d1"
    if shutil.which("systemd-escape"):
        for path in ("/var/lib/my sql-1", "/.hidden/ä", "/a_b:c"):
            assert sh("systemd-escape", "--path", path).strip() == here.unit_name(path)


def test_files_that_it_hides_are_said(place: Place) -> None:
    place.directory.mkdir(parents=True)
    assert here.doubtful_options(place.mount().spec) == []
    (place.directory / "file").write_text("x")
    (problem,) = here.doubtful_options(place.mount().spec)
    assert "is not empty on this node" in problem


def test_what_a_node_lacks(place: Place) -> None:
    problem = do(place.mount(device="server:/export", type="ceph").ready())
    assert "the kernel does not know the file system ceph" in problem
    assert "there is no program `mount.ceph` on this node: install ceph-common" in problem
    assert "kernel does not know the file system zfs9" in do(place.mount(type="zfs9").ready())


def test_xfs(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its journal is replayed by the mount; that it was shut down shows when it is asked for something."""
    if "xfs" not in Path("/proc/filesystems").read_text():
        pytest.skip("this kernel has no xfs")
    with disk(tmp_path / "xfs", "xfs", 320) as device:
        mount = place.mount(device=device)
        do(mount.start({}))
        assert place.seen is not None and place.seen.type == "xfs"
        assert do(mount.monitor()).health == "running"
        with (place.directory / "file").open("w") as file:
            file.write("kept")
            file.flush()
            os.fsync(file.fileno())
        monkeypatch.setattr(unmounting, "_SYNC_S", 0.0)
        do(mount.kill())
        assert place.seen is None
        do(place.mount(device=device, fsck="force").start({}))
        assert (place.directory / "file").read_text() == "kept"
        power_cut(place)
        assert do(mount.monitor()).health == "failed"
        do(mount.stop())
        assert do(mount.probe()) == Observation("stopped")
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        sh("mount", device, elsewhere)
        held = subprocess.Popen(["sleep", "60"], cwd=elsewhere)
        sh("umount", "-l", elsewhere)
        assert "is still in use" in do(mount.probe()).detail
        do(mount.kill())
        assert held.wait(5) == -9
        assert do(mount.probe()) == Observation("stopped")
