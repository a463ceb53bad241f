"""One try of a delivery, with real receivers and commands: each ends in time, leaves nothing, and says how it went."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fencing.linux import cgroup as cgroup_v2
from hactl.admin.event_log import Entry
from hactl.daemon.hooks import delivery
from hactl.daemon.hooks.delivery import Delivered, deliver, event_document
from hactl.model.hooks import HookSpec, Webhook
from tests.support import certificates
from tests.support.ports import free_port
from tests.support.receivers import Receiver, babbling, hanging, receiving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root

ENTRY = Entry("1-n1-1", "2026-01-01T00:00:00.000Z", "n1", "resource_failed", {"group": "db", "reason": "exit 1\n\x1b"})
Command = Callable[[str], str]


def hook(**more: Any) -> HookSpec:
    return HookSpec("h", ("*",), **{"timeout_ms": 20_000.0, **more})


def send(spec: HookSpec, cgroup: Path, dropped: int = 0) -> Delivered:
    delivered = asyncio.run(deliver(spec, event_document("demo", ENTRY, dropped), str(cgroup)))
    assert not cgroup_v2.pids(cgroup), "nothing is left"
    assert not list(cgroup.glob("hook-*"))
    return delivered


def web(cgroup: Path, url: str, timeout_ms: float = 20_000.0, **more: str) -> Delivered:
    return send(hook(webhook=Webhook(url, **more), timeout_ms=timeout_ms), cgroup)  # type: ignore[arg-type]


# --- commands ------------------------------------------------------------------------------------------------


def test_a_command_gets_the_event_and_is_an_unprivileged_user(command: Command, cgroup: Path, public: Path) -> None:
    script = command('cat > $OUT/event; env > $OUT/env; id -un > $OUT/user; id -Gn >> $OUT/user; pwd; echo "told them"')
    assert send(hook(command=(script,)), cgroup, dropped=3) == Delivered(True, False, "told them")
    event = json.loads((public / "event").read_text())
    assert (event["event"], event["severity"], event["group"], event["dropped"]) == (
        "resource_failed",
        "warning",
        "db",
        3,
    )
    assert event["data"] == ENTRY.data and event["text"].isprintable()
    known = dict(line.split("=", 1) for line in (public / "env").read_text().splitlines())
    assert {name: known[f"HACTL_{name}"] for name in ("EVENT", "GROUP", "NODE", "SEVERITY", "CLUSTER", "HOOK")} == {
        "EVENT": "resource_failed", "GROUP": "db", "NODE": "n1", "SEVERITY": "warning", "CLUSTER": "demo", "HOOK": "h"
    }  # fmt: skip
    assert (public / "user").read_text().split()[0] == "nobody" == known["USER"]
    assert "root" not in (public / "user").read_text()


def test_it_cannot_become_root_again_or_read_what_is_roots(command: Command, cgroup: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    refused = send(hook(command=(command(f"grep -E '^(Uid|Gid|CapEff)' /proc/self/status; cat {secret}"),)), cgroup)
    assert not refused.ok and "Permission denied" in refused.detail


def test_as_root_where_it_is_told(command: Command, cgroup: Path) -> None:
    assert send(hook(command=(command("id -un"),), user="root"), cgroup).detail == "root"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 3", "exit status 3"),
        ("echo one; echo two >&2; exit 1", "exit status 1: two"),
        ("kill -9 $$", "killed by signal 9"),
    ],
)
def test_a_command_that_fails(command: Command, cgroup: Path, script: str, words: str) -> None:
    delivered = send(hook(command=(command(script),)), cgroup)
    assert (delivered.ok, delivered.again) == (False, True) and words in delivered.detail


@pytest.mark.parametrize(
    ("argv", "user", "words"),
    [
        (("/no/such",), "nobody", "cannot start /no/such: No such file"),
        (("/etc/passwd",), "nobody", "Permission denied"),
        (("/bin/true",), "no-such-user", "no user `no-such-user`"),
        (("a\0b",), "nobody", "cannot start"),
    ],
)
def test_a_command_that_cannot_be_started(cgroup: Path, argv: tuple[str, ...], user: str, words: str) -> None:
    delivered = send(hook(command=argv, user=user), cgroup)
    assert not delivered.ok and words in delivered.detail


@pytest.mark.parametrize(
    "script",
    [
        "sleep 1000",
        "trap '' TERM INT HUP; while :; do sleep 1000; done",
        "setsid sh -c 'sleep 1000' & sleep 1000",
        "yes",
        "(setsid sleep 1000 >/dev/null 2>&1 &) ; sleep 1000",
    ],
)
def test_a_command_that_hangs_is_killed_with_all_that_it_started(command: Command, cgroup: Path, script: str) -> None:
    delivered = send(hook(command=(command(script),), timeout_ms=300.0), cgroup)
    assert (delivered.ok, delivered.again) == (False, True) and "did not end within 0.3 s" in delivered.detail


def test_what_a_command_leaves_behind_is_ended_and_not_waited_for(command: Command, cgroup: Path) -> None:
    began = time.monotonic()
    script = command("setsid sleep 1000 & sleep 1000 & echo done")
    assert send(hook(command=(script,)), cgroup) == Delivered(True, False, "done")
    assert time.monotonic() - began < 15  # its 20 seconds are not over


def test_megabytes_of_output_are_not_kept(command: Command, cgroup: Path) -> None:
    script = command("head -c 50000000 /dev/zero | tr '\\0' x; echo; echo the end")
    assert send(hook(command=(script,)), cgroup) == Delivered(True, False, "the end")


def test_its_process_that_is_killed_or_frozen(cgroup: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon's own deadline is behind the child's."""
    monkeypatch.setattr(delivery, "BEGIN_S", 1.0)
    script = command("kill -STOP $PPID; sleep 1000")
    stopped = send(hook(command=(script,), user="root", timeout_ms=500.0), cgroup)
    assert not stopped.ok and "did not end within" in stopped.detail
    killed = send(hook(command=(command("kill -KILL $PPID; sleep 1000"),), user="root"), cgroup)
    assert not killed.ok and killed.again and "its process failed" in killed.detail


# --- webhooks ------------------------------------------------------------------------------------------------


def test_a_webhook_gets_the_event(cgroup: Path) -> None:
    with receiving() as receiver:
        assert web(cgroup, receiver.url) == Delivered(True, False, "status 200")
    [event] = receiver.got
    assert (event["version"], event["event"], event["node"], event["data"]) == (1, "resource_failed", "n1", ENTRY.data)
    assert receiver.headers["Content-Type"] == "application/json" and "Authorization" not in receiver.headers


def test_a_chat_gets_one_line(cgroup: Path) -> None:
    with receiving() as receiver:
        assert web(cgroup, receiver.url, body="text").ok
    assert receiver.got == [{"text": "demo: WARNING: resource_failed on n1: group=db reason=exit 1\\n\\x1b"}]


@pytest.mark.parametrize(
    ("status", "again", "words"),
    [
        (500, True, "status 500: the receiver's words"),
        (503, True, "status 503"),
        (429, True, "status 429"),
        (404, False, "status 404: the receiver's words"),
        (302, False, "redirects are not followed"),
        (204, True, ""),
    ],
)
def test_answers(cgroup: Path, status: int, again: bool, words: str) -> None:
    with receiving(status) as receiver:
        delivered = web(cgroup, receiver.url)
    assert delivered.ok == (status == 204) and words in delivered.detail
    assert delivered.ok or delivered.again == again
    assert len(receiver.got) == 1


def test_nobody_listens(cgroup: Path) -> None:
    assert web(cgroup, f"http://127.0.0.1:{free_port()}/") == Delivered(False, True, "Connection refused")


def test_a_name_that_there_is_not(cgroup: Path) -> None:
    delivered = web(cgroup, "http://no-such-host.invalid/", 5000.0)
    assert (delivered.ok, delivered.again) == (False, True)


def test_a_receiver_that_hangs_sends_without_end_or_is_slow(cgroup: Path) -> None:
    with hanging() as url:
        assert web(cgroup, url, 300.0) == Delivered(False, True, "no answer within 0.3 s")
    with babbling() as url:
        assert web(cgroup, url, 300.0) == Delivered(False, True, "no answer within 0.3 s")
    with receiving(slow_s=1000) as receiver:
        assert web(cgroup, receiver.url, 300.0) == Delivered(False, True, "no answer within 0.3 s")
    with receiving(slow_s=0.2) as receiver:
        assert web(cgroup, receiver.url).ok


def test_tls(cgroup: Path, tmp_path: Path) -> None:
    good, other = certificates.make(tmp_path, "localhost", 5), certificates.make(tmp_path, "elsewhere", 5)
    with receiving(certificate=good) as receiver:
        assert web(cgroup, receiver.url, ca=str(good)).ok
        for ca in ("", str(other)):
            refused = web(cgroup, receiver.url, ca=ca)
            assert not refused.ok and refused.again and "certificate is not trusted" in refused.detail
        unusable = web(cgroup, receiver.url, ca=str(tmp_path / "none.pem"))
        assert not unusable.ok and "none.pem cannot be used" in unusable.detail
    with receiving(certificate=other) as receiver:
        wrong_name = web(cgroup, receiver.url, ca=str(other))
        assert not wrong_name.ok and "certificate is not trusted" in wrong_name.detail
    with receiving() as receiver:
        assert not web(cgroup, receiver.url.replace("http:", "https:")).ok


def test_a_token_and_a_url_that_are_roots_secrets(cgroup: Path, tmp_path: Path) -> None:
    with receiving() as receiver:
        for name, text in (("token", "s3cret"), ("url", receiver.url)):
            (tmp_path / name).write_text(f"{text}\n")
            (tmp_path / name).chmod(0o600)
        spec = Webhook(url_file=str(tmp_path / "url"), token_file=str(tmp_path / "token"))
        assert send(hook(webhook=spec), cgroup).ok
        assert receiver.headers["Authorization"] == "Bearer s3cret"
        (tmp_path / "token").chmod(0o640)
        assert "others may read" in send(hook(webhook=spec), cgroup).detail
        (tmp_path / "token").chmod(0o600)
        (tmp_path / "token").write_text("two\nlines")
        assert "not one line" in send(hook(webhook=spec), cgroup).detail
        (tmp_path / "token").unlink()
        assert "No such file" in send(hook(webhook=spec), cgroup).detail
        os.mkfifo(tmp_path / "token", 0o600)
        assert "not one line" in send(hook(webhook=spec), cgroup).detail  # nobody waits for a pipe
        (tmp_path / "url").write_text("ftp://no/webhook")
    assert len(receiver.got) == 1


def test_who_connects_is_nobody_without_any_capability(cgroup: Path) -> None:
    async def look(receiver: Receiver) -> dict[str, str]:
        document = event_document("demo", ENTRY)
        task = asyncio.create_task(deliver(hook(webhook=Webhook(receiver.url)), document, str(cgroup)))
        await wait_until(lambda: receiver.got, "it has connected")
        [status] = [text for pid in cgroup_v2.pids(cgroup) if (text := status_of(pid)).startswith("Name:\tpython")]
        receiver.stop.set()
        assert (await task).ok
        return dict(line.split(":", 1) for line in status.splitlines())

    before = os.getgroups()
    os.setgroups([*before, 4])  # adm's: it may read logs
    try:
        with receiving(slow_s=1000) as receiver:
            status = asyncio.run(look(receiver))
    finally:
        os.setgroups(before)
    nobody = pwd.getpwnam("nobody")
    assert set(status["Uid"].split()) == {str(nobody.pw_uid)} and set(status["Gid"].split()) == {str(nobody.pw_gid)}
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert not {"0", "4"} & set(status["Groups"].split())


def status_of(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()
