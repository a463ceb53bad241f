"""An OCF agent whose resource is a file, `DIR/running`. A file `DIR/ACTION` with shell commands takes the place of what
the agent does for that action; `DIR/log` has each action with what the agent was told."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

_SCRIPT = """\
#!/bin/sh
if [ "$1" = meta-data ]; then
  cat <<'END'
<?xml version="1.0"?>
<resource-agent name="toy" version="1.0">
<version>1.1</version>
<longdesc>For tests.</longdesc>
<shortdesc>A file that is there or not</shortdesc>
<parameters>
<parameter name="dir" required="1"><longdesc>Where the file is</longdesc><content type="string"/></parameter>
<parameter name="speed"><longdesc>How fast it is</longdesc><content type="integer" default="3"/></parameter>
<parameter name="password"><longdesc>What it wants to hear</longdesc><content type="string"/></parameter>
</parameters>
<actions>
<action name="start" timeout="40s"/><action name="stop" timeout="20s"/>
<action name="monitor" timeout="7s" interval="10s"/><action name="validate-all" timeout="5s"/>
</actions>
</resource-agent>
END
  exit 0
fi
dir=$OCF_RESKEY_dir running=$OCF_RESKEY_dir/running
told="interval=$OCF_RESKEY_CRM_meta_interval level=$OCF_CHECK_LEVEL speed=$OCF_RESKEY_speed"
[ -z "$dir" ] || echo "$1 $told" >>"$dir/log"
if [ -e "$dir/$1" ]; then
  . "$dir/$1"
  exit
fi
case $1 in
  start) touch "$running" ;;
  stop) rm -f "$running" ;;
  monitor) [ -e "$running" ] || exit 7 ;;
  validate-all) ;;
  *) exit 3 ;;
esac
"""


class ToyOcf:
    """The agent `test:toy` below an OCF_ROOT of its own, and its resource's directory."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.dir = place / "ocf", place / "toy"
        self.path = self.root / "resource.d/test/toy"
        self.path.parent.mkdir(parents=True)
        self.dir.mkdir()
        self.install(_SCRIPT)
        monkeypatch.setenv("OCF_ROOT", str(self.root))

    def install(self, script: str, name: str = "toy") -> None:
        """Put an agent there."""
        path = self.path.with_name(name)
        path.write_text(script)
        path.chmod(0o755)

    def edit(self, old: str, new: str) -> None:
        """Change the agent."""
        script = self.path.read_text()
        assert script.count(old) == 1, old
        self.install(script.replace(old, new))

    def does(self, action: str, script: str) -> None:
        """What the agent does instead of that action."""
        (self.dir / action).write_text(script)

    def usual(self, action: str) -> None:
        """As at first."""
        (self.dir / action).unlink()

    @property
    def runs(self) -> bool:
        """Whether the resource is there."""
        return (self.dir / "running").exists()

    def asked(self) -> Sequence[str]:
        """The actions until now."""
        log = self.dir / "log"
        return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []

    def told(self) -> str:
        """What the agent was told with the last action."""
        return (self.dir / "log").read_text().splitlines()[-1]

    def options(self, **parameters: str) -> dict[str, Any]:
        """A resource's options."""
        return {"agent": "test:toy", "parameters": {"dir": str(self.dir), **parameters}}


def installed(agent: str) -> bool:
    """Whether a real agent is here."""
    provider, _, name = agent.partition(":")
    return os.access(f"/usr/lib/ocf/resource.d/{provider}/{name}", os.X_OK)
