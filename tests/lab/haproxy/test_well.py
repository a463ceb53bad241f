"""A HAProxy that hangs, files that cannot be written, and the start after a reboot."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hactl.haproxy.control.live import MOST_OLD_WORKERS
from hactl.haproxy.control.manager import HaproxyManager
from hactl.haproxy.settings import HaproxySettings
from tests.lab.haproxy.haproxy_lab import Lab, pids_of, served_again
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.mark.parametrize("victims", ["all", "worker"])
def test_one_that_hangs_is_killed_and_started_again(lab: Lab, victims: str) -> None:
    async def scenario() -> None:
        manager = lab.manager()
        async with lab.servers("a"):
            await manager.ensure(lab.config(names="a"))
            before = pids_of(lab)
            master = manager.status().pid
            for pid in before:
                if victims == "all" or pid != master:
                    os.kill(pid, signal.SIGSTOP)
            await wait_until(lambda: bool(manager.problem()), "it is said that it does not answer")
            assert "did not answer" in manager.problem()
            await wait_until(lambda: lab.kinds() == ["started", "hung", "died", "started"], "killed and started")
            await served_again(lab)
            await wait_until(lambda: not manager.problem(), "all is well")
        assert not set(before) & set(pids_of(lab))
        await manager.stop()

    asyncio.run(scenario())


def test_workers_that_live_on_after_reloads_are_counted_and_bounded(lab: Lab) -> None:
    async def scenario() -> None:
        manager = lab.manager()
        async with lab.servers("a"), contextlib.AsyncExitStack() as stack:
            for number in range(MOST_OLD_WORKERS + 3):
                await manager.ensure(lab.config(names="a", extra=[f"fullconn {100 + number}"]))
                _, writer = await asyncio.open_connection("127.0.0.1", lab.port)
                stack.callback(writer.close)
                writer.write(b"GET / HTTP/1.1\r\n")  # the rest never comes
                await writer.drain()
                await asyncio.sleep(0)
            await wait_until(lambda: manager.status().old_workers == MOST_OLD_WORKERS, "as many as may be are left")
            await wait_until(lambda: len(pids_of(lab)) == MOST_OLD_WORKERS + 2, "the others have ended")
            assert lab.kinds().count("old_workers_ended") >= 1
            assert await lab.ask() == "a"
        await manager.stop()

    asyncio.run(scenario())


@pytest.fixture
def small(lab: Lab) -> Iterator[Path]:
    """The directory of HAProxy's files is a file system of its own, which is full."""
    run_dir = Path(lab.settings.run_dir)
    run_dir.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", run_dir], check=True)
    (run_dir / "full").write_bytes(b"x" * 4096)
    yield run_dir
    subprocess.run(["umount", "-l", run_dir], check=True)


def make_room(run_dir: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=1m", run_dir], check=True)


def test_a_file_that_cannot_be_written_is_an_error_and_works_when_tried_again(lab: Lab, small: Path) -> None:
    async def scenario() -> None:
        manager = lab.manager()
        async with lab.servers("a"):
            result = await manager.ensure(lab.config(names="a"))
            assert "cannot be written: No space left on device" in result.error
            assert "No space left" in manager.problem()
            make_room(small)
            assert (await manager.ensure(lab.config(names="a"))).error == ""
            assert await lab.ask() == "a"
            assert manager.problem() == ""
        await manager.stop()

    asyncio.run(scenario())


class Rebooting:
    """A lab whose HAProxy keeps only the files that survive a reboot."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.settings = HaproxySettings(lab.settings.run_dir, lab.settings.binary, str(lab.directory / "kept"))

    def manager(self) -> HaproxyManager:
        made = HaproxyManager(self.settings, self.lab.context, self.lab.events.append)
        self.lab.managers.append(made)
        return made

    async def end(self) -> None:
        for pid in pids_of(self.lab):
            os.kill(pid, signal.SIGKILL)
        await wait_until(lambda: not pids_of(self.lab), "nothing runs")

    async def reboot(self) -> None:
        await self.end()
        shutil.rmtree(self.settings.run_dir)


def test_after_a_reboot_it_starts_with_the_kept_file_and_goes_on_where_the_new_is_refused(lab: Lab) -> None:
    async def scenario() -> None:
        computer = Rebooting(lab)
        manager = computer.manager()
        async with lab.servers("a", "b"):
            assert not (await manager.ensure(lab.config(names="ab", live="a"))).error
            await manager.keep(lab.config(names="ab"), manage_sysctl=True)
            await manager.close()
            await computer.reboot()
            after = computer.manager()
            assert await after.resume()
            await served_again(lab)
            assert lab.kinds()[-2:] == ["started", "kept"]
            result = await after.ensure(lab.config(names="ab").replace("mode http", "mode nonsense"))
            assert "HAProxy refuses its configuration" in result.error
            assert "nonsense" in after.problem()
            assert await lab.ask() in "ab"
            assert not (await after.ensure(lab.config(names="a"))).error
            assert await lab.ask() == "a"
        await after.stop()

    asyncio.run(scenario())
    assert oct(Path(Rebooting(lab).settings.kept_file("@haproxy")).stat().st_mode)[-3:] == "600"


def test_with_the_new_refused_from_the_first_the_kept_file_runs_with_the_new_writer(lab: Lab) -> None:
    """The node that was the writer when the file was kept must not get a single write."""

    async def scenario() -> None:
        computer = Rebooting(lab)
        manager = computer.manager()
        async with lab.servers("a", "b"):
            elected = {"writer": "elected", "group": "vip"}
            assert not (await manager.ensure(lab.config(names="ab", owner="a", **elected))).error
            await manager.keep(lab.config(names="ab", **elected), manage_sysctl=True)
            await manager.close()
            await computer.reboot()
            after = computer.manager()
            bad = lab.config(names="ab", owner="b", **elected).replace("balance ", "balance no")
            result = await after.ensure(bad)
            assert result.error
            await served_again(lab)
            assert {await lab.ask() for _ in range(10)} == {"b"}
        await after.stop()

    asyncio.run(scenario())


def test_nobody_is_the_writer_after_a_reboot_until_it_is_known(lab: Lab) -> None:
    async def scenario() -> None:
        computer = Rebooting(lab)
        manager = computer.manager()
        async with lab.servers("a", "b"):
            elected = {"writer": "elected", "group": "vip"}
            assert not (await manager.ensure(lab.config(names="ab", owner="a", **elected))).error
            await manager.keep(lab.config(names="ab", **elected), manage_sysctl=True)
            await manager.close()
            await computer.end()  # no reboot: the last file is there, with its writer
            after = computer.manager()
            assert await after.resume()
            with pytest.raises(OSError, match="503"):
                await lab.ask()
            assert not (await after.ensure(lab.config(names="ab", owner="b", **elected))).error
            assert await lab.ask() == "b"
        await after.stop()

    asyncio.run(scenario())


def test_the_server_drained_last_is_drained_from_the_first_request_after_both_have_died(lab: Lab) -> None:
    """The daemon kept the file before the operator drained a server, and died at once when that was done."""

    async def scenario() -> None:
        computer = Rebooting(lab)
        manager = computer.manager()
        async with lab.servers("a", "b"):
            assert not (await manager.ensure(lab.config(names="ab"))).error
            await manager.keep(lab.config(names="ab"), manage_sysctl=True)
            assert not (await manager.ensure(lab.config(names="ab", drained="b"))).error
            await manager.close()
            await computer.end()
            after = computer.manager()
            assert await after.resume()
            assert {await lab.ask() for _ in range(10)} == {"a"}
        await after.stop()

    asyncio.run(scenario())


def test_one_whose_directory_was_emptied_can_be_asked_again_and_serves_all_the_time(lab: Lab) -> None:
    async def scenario() -> None:
        manager = lab.manager()
        async with lab.servers("a", "b"):
            await manager.ensure(lab.config(names="a"))
            master = manager.status().pid
            for _ in range(2):  # and once more, after a spelling that differed was put right
                empty(Path(lab.settings.run_dir))
                assert not (await manager.ensure(lab.config(names="ab"))).error
                assert {server_state.server for server_state in await manager.server_states()} == {"a", "b"}
                assert manager.status().pid == master
                assert await lab.ask()
        await manager.stop()

    asyncio.run(scenario())


def empty(place: Path) -> None:
    for path in place.iterdir():
        path.unlink()
