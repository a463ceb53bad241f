"""The drop-in by which systemd leaves a unit to hactl: its text. Pure.

It asserts that a file is there which hactl makes before each start of the unit, and removes before each stop. So
nothing else starts the unit on a node where its group is not: no boot, dependency, socket, timer, `Restart=` or person.
An assertion, not a condition: a start that is refused fails, and what needs the unit fails with it, rather than run
without it. `systemctl status` names the file. hactl's own stop, and the guard's, need none of this.

A oneshot service stays active when its work is done (RemainAfterExit=): it runs from then on until it is stopped.

Source: systemd.unit(5), systemd.service(5).
"""

from __future__ import annotations

_WORDS = """# Written by hactl, which starts and stops {unit} as a part of the resource {resource}.
# The file named below is there only while the group of that resource runs on this node: nothing else starts the unit.
# hactl removes this drop-in when the resource leaves its configuration. To start the unit without hactl: remove it,
# `systemctl daemon-reload`, `systemctl start {unit}`.
"""


def text(unit: str, resource: str, marker: str, *, companion: bool = False, oneshot: bool = False) -> str:
    """The drop-in of `unit`. `marker`: the file. `companion`: the unit is another one's, which starts and restarts it
    while that runs."""
    words = _WORDS.format(unit=unit, resource=resource)
    lines = ["[Unit]", f"AssertPathExists={marker.replace('%', '%%')}"]
    if not companion:
        # hactl is the one that starts, restarts and stops it, as often as its settings say.
        lines += ["RefuseManualStart=no", "RefuseManualStop=no", "StopWhenUnneeded=no"]
        if unit.endswith(".service"):
            lines += ["", "[Service]", "Restart=no", "RestartForceExitStatus="]
            lines += ["RemainAfterExit=yes"] if oneshot else []
    return words + "\n".join(lines) + "\n"
