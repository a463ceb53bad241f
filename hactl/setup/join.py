"""Joining: a machine becomes what its bundle says. It may be repeated: only what differs is written."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from hactl.setup.bundle import LARGEST, Bundle, decode
from hactl.setup.checks import problems, units, warnings
from hactl.setup.contents import File, directories, files
from hactl.setup.errors import BadInputError, RefusedError
from hactl.setup.files import Change, Say
from hactl.setup.machine import Machine
from hactl.setup.packaged import etcd_in_use, haproxy_in_use, stop_packaged_etcd, stop_packaged_haproxy
from hactl.setup.places import Places
from hactl.setup.render import FIRST_START, node_settings, node_toml
from hactl.setup.sight import see

STDIN = "-"


def read_bundle(file: str) -> Bundle:
    """The bundle in a file, or on standard input for `-`. Raises BadInputError: also where others may read the file,
    which has keys in it."""
    if file == STDIN:
        return decode(sys.stdin.buffer.read(LARGEST + 1), "standard input")
    try:
        # O_NONBLOCK: a pipe of this name must not hang us.
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
            info = os.fstat(opened.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise BadInputError(f"{file} is no regular file: give the join file, such as n2.join")
            if info.st_mode & 0o077:
                raise BadInputError(f"{file} has keys in it, and others may read it: chmod 600 {file}")
            return decode(opened.read(LARGEST + 1), file)
    except OSError as error:
        raise BadInputError(f"{file} cannot be read: {error.strerror}") from None


def join(bundle: Bundle, places: Places, machine: Machine, say: Say) -> bool:
    """Whether a unit was started: else the machine had joined before. Raises RefusedError, with every reason, before
    anything is changed; and where a step fails."""
    check(bundle, places, machine, say)
    if bundle.etcd:
        stop_packaged_etcd(places, machine, say)
    if bundle.node:
        stop_packaged_haproxy(machine, say)
    ran = [unit for unit in units(bundle) if machine.unit(unit).active]
    etcd_before = _etcd_settings(places)
    written = _write(bundle, places, machine, say)
    # A join that failed half-way may have written it before.
    if bundle.etcd and (places.drop_in in written or places.drop_in not in machine.unit("etcd").drop_ins):
        machine.reload_units()
    new_etcd = places.drop_in in written or _etcd_settings(places) != etcd_before
    _restart(bundle, ran, machine, say, new_etcd=new_etcd, new_hactl=places.node_toml in written)
    started = [unit for unit in units(bundle) if _start(unit, machine, say)]
    return bool(started)


def _etcd_settings(places: Places) -> list[str]:
    """Those that count at every start of etcd."""
    env = Path(places.etcd_env)
    lines = env.read_text(encoding="utf-8", errors="replace").splitlines() if env.exists() else []
    return [line for line in lines if line.startswith("ETCD_") and not line.startswith(FIRST_START)]


def _restart(
    bundle: Bundle, ran: Sequence[str], machine: Machine, say: Say, *, new_etcd: bool, new_hactl: bool
) -> None:
    """What ran before takes its new settings, where there are any. hactl keeps all that runs. Who restarts etcd must
    see to it that the other members are well: this is done for a machine that has another name now, and only then."""
    if "etcd" in ran and new_etcd:
        if bundle.before:
            machine.restart("etcd")
            say(Change("restarted  etcd.service"))
        else:
            say("etcd's new settings count after `systemctl restart etcd`: on one machine after the other")
    if "hactl" in ran and new_hactl:
        machine.restart("hactl", wait=True)  # nobody is silent when the next machine does the same
        say(Change("restarted  hactl.service: everything that runs here goes on"))


def check(bundle: Bundle, places: Places, machine: Machine, say: Say) -> None:
    """Raises RefusedError with all problems of this machine."""
    here = see(bundle, places, machine)
    reasons = list(problems(bundle, here, places))
    if not here.missing:
        reasons += filter(None, _in_use(bundle, places, machine))
    if reasons:
        raise RefusedError("\nerror: ".join(reasons))
    for warning in warnings(bundle, here, places):
        say(f"warning: {warning}")


def _in_use(bundle: Bundle, places: Places, machine: Machine) -> Iterator[str]:
    if bundle.etcd:
        yield etcd_in_use(places, machine)
    if bundle.node:
        yield haproxy_in_use(places, machine)


def _write(bundle: Bundle, places: Places, machine: Machine, say: Say) -> list[str]:
    """All files; those that were written."""
    writer = machine.files(say)
    for directory in directories(bundle, places):
        writer.directory(directory)
    for file in files(bundle, places):
        writer.file(file)
    if bundle.node:
        try:
            old = Path(places.node_toml).read_text(encoding="utf-8") if Path(places.node_toml).exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise RefusedError(f"{places.node_toml} cannot be read: {error}") from None
        writer.file(File(places.node_toml, node_toml(node_settings(bundle, bundle.node, places), old)))
    return writer.written


def _start(unit: str, machine: Machine, say: Say) -> bool:
    """Whether it was not there yet: running, and at every boot."""
    state = machine.unit(unit)
    if not state.enabled:
        machine.enable(unit)
    if not state.active:
        machine.start(unit)
    if state.enabled and state.active:
        return False
    say(Change(f"started    {unit if '.' in unit else f'{unit}.service'}, also at every boot"))
    return True
