"""`hactl etcd …`: looks after etcd itself. None of it needs a daemon."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hactl.cli.common import BAD_INPUT, CliError, confirmed, quiet_log, refusals, say, settings
from hactl.cli.options import ConfigOption, Json, Yes
from hactl.cli.output import Style, table
from hactl.cli.status_view import warning_lines

if TYPE_CHECKING:
    from hactl.admin.etcd.access import EtcdAdmin
    from hactl.admin.etcd.restore import Restored
    from hactl.admin.etcd.settings_file import EtcdSettings

_MIB = 1 << 20


def status(as_json: Json = False, config: ConfigOption = None) -> None:
    """Show etcd's members, their databases and what is wrong, each with the command that helps.

    BEHIND: entries of the log that the leader has and the member has not, yet. READ: how long a read took that needs a
    majority. FSYNC P99: 99 of 100 writes to the member's disk took no longer, since it was started. Exit status 1: an
    error, such as no majority.
    """
    from hactl.status.etcd.overview import HEAD, rows  # noqa: PLC0415 - few commands need it

    style = Style.of()
    with _admin(config) as admin:
        state = admin.look()
    if as_json:
        say(json.dumps({**state.document(), "etcdctl": state.beside.etcdctl}, indent=1))
    else:
        say("\n".join(warning_lines(state.document()["problems"], style)) + "\n")
        say("\n".join(table(HEAD, rows(state), style, painted=(3,))))
    if any(problem.level == "error" for problem in state.problems):
        raise typer.Exit(1)


def snapshot(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="Where to. Default: CLUSTER-TIME.db in `snapshots` of `state_dir`."),
    ] = None,
    keep: Annotated[
        int, typer.Option("--keep", min=0, metavar="N", help="Then keep the newest N there, and remove others.")
    ] = 0,
    keep_mib: Annotated[
        int, typer.Option("--keep-mib", min=0, metavar="MIB", help="Keep no more than that there. The new one stays.")
    ] = 0,
    config: ConfigOption = None,
) -> None:
    """Write a snapshot of etcd to a file, and verify it. It is written as a whole or not at all."""
    from hactl.admin.etcd.snapshot import take  # noqa: PLC0415 - heavy

    if file is not None and (keep or keep_mib):
        raise CliError("--keep and --keep-mib are for the snapshots without a FILE: leave one of them out", BAD_INPUT)
    with _admin(config) as admin:
        taken = take(admin, file.absolute() if file else None, keep=keep, keep_bytes=keep_mib * _MIB)
    facts = taken.facts
    say(f"{taken.path}: {facts.size} bytes, revision {facts.revision}, {facts.keys} keys, from {taken.endpoint}")
    for path in taken.removed:
        say(f"removed {path}")


def defrag(
    force: Annotated[bool, typer.Option("--force", help="Do it even if a member is away.")] = False,
    config: ConfigOption = None,
) -> None:
    """Give back what the databases of etcd do not use: one member after another, the leader last.

    An etcd that is full or nearly is first compacted, and then takes writes again. Each member is silent while it is
    defragmented; the others answer meanwhile.
    """
    from hactl.admin.etcd.defrag import defragment  # noqa: PLC0415 - heavy
    from hactl.status.etcd.problems import mib  # noqa: PLC0415

    with _admin(config) as admin:
        for freed in defragment(admin, say, force=force):
            say(f"{freed.member}: {mib(freed.before)} before, {mib(freed.after)} now")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The snapshot: the same file on every machine.")],
    members: Annotated[
        str,
        typer.Option("--members", metavar="NAME=URL,…", help="The new members. Default: ETCD_INITIAL_CLUSTER."),
    ] = "",
    settings_file: Annotated[
        Path | None,
        typer.Option(
            "--settings", metavar="FILE", help="etcd's settings. Default: /etc/hactl/etcd.env, else /etc/default/etcd."
        ),
    ] = None,
    without_sum: Annotated[
        bool, typer.Option("--without-sum", help="FILE is `member/snap/db`, copied from a data directory.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Do it even if etcd is well, or FILE was restored here before.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Restore etcd from a snapshot, after its majority or its data are lost: on every machine, with the same file.

    Stops etcd on this machine, puts its data aside, makes new ones of the snapshot, and starts it. When all members are
    restored: `hactl recover`, once. May be repeated. docs/disaster-recovery.md has the whole way.
    """
    from hactl.admin.etcd import restore as restoring  # noqa: PLC0415 - heavy, as the next
    from hactl.admin.etcd.settings_file import find_settings, read_members  # noqa: PLC0415
    from hactl.setup.machine import Machine  # noqa: PLC0415

    machine = Machine()
    with refusals():
        etcd = find_settings(settings_file)
        if members:
            etcd = etcd._replace(members=read_members(members, "--members"))
        if machine.uid() != 0:
            raise CliError("be root: etcd is stopped, and its data are moved")
        say(f"{etcd.name} of {', '.join(etcd.members)}, by {etcd.path}; data: {etcd.data_dir}")
        if not yes and not confirmed("Stop etcd here, put its data aside, and restore it from the snapshot?"):
            raise CliError("not confirmed: nothing was done")
        done = restoring.restore(file.absolute(), etcd, machine, say, without_sum=without_sum, force=force)
    _tell_restored(done, etcd)


def _tell_restored(done: Restored, etcd: EtcdSettings) -> None:
    if done.done_before:
        say("it was restored from this file before, and is started; `--force` restores it once more")
    else:
        say(f"restored and started; the data of before: {done.aside or 'none'}")
    others = [name for name in etcd.members if name != etcd.name]
    if others:
        say(f"now the same command with the same file on: {', '.join(others)}")
    say("then `hactl etcd status`; when all members are well: `hactl recover`, once, on one machine")


@contextmanager
def _admin(config: Path | None) -> Iterator[EtcdAdmin]:
    """The operator's access to etcd."""
    from hactl.admin.etcd.access import EtcdAdmin  # noqa: PLC0415 - heavy

    quiet_log()
    with refusals(), closing(EtcdAdmin(settings(config))) as admin:
        yield admin
