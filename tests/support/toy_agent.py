"""A fence agent that works on a directory: `power-PLUG` holds on or off, `log` its requests, `broken` makes it fail,
`slow` makes it hang."""

from __future__ import annotations

from pathlib import Path

_SCRIPT = """\
#!/bin/sh
while IFS='=' read -r name value; do
  case "$name" in
    action) action=$value ;;
    outlet | plug | port) plug=$value ;;
    nodename) node=$value ;;
    dir) dir=$value ;;
    password) password=$value ;;
  esac
done
if [ "$action" = metadata ]; then
  cat <<'END'
<?xml version="1.0"?>
<resource-agent name="fence_toy" shortdesc="Files that are switched on and off">
<longdesc>For tests.</longdesc>
<parameters>
<parameter name="action" required="1"><content type="string" default="reboot"/></parameter>
<parameter name="dir" required="1"><content type="string"/><shortdesc>Where the files are</shortdesc></parameter>
<parameter name="password"><content type="string"/><shortdesc>What it wants to hear</shortdesc></parameter>
<parameter name="plug"><content type="string"/><shortdesc>Which file</shortdesc></parameter>
<parameter name="knock"><content type="string"/><shortdesc>Password of the second door</shortdesc></parameter>
<parameter name="speed"><content type="integer"/><shortdesc>How fast it is</shortdesc></parameter>
</parameters>
<actions>
<action name="on"/><action name="off"/><action name="status"/><action name="monitor"/><action name="metadata"/>
</actions>
</resource-agent>
END
  exit 0
fi
echo "$action ${plug:--} ${node:--}" >>"$dir/log"
[ -e "$dir/slow" ] && sleep 60
[ -e "$dir/broken" ] && { echo "the switch is on fire, $password" >&2; exit 1; }
case "$action" in
  on | off) echo "$action" >"$dir/power-$plug" ;;
  status)
    power=$(cat "$dir/power-$plug" 2>/dev/null || echo on)
    [ "$power" = on ] || { echo "Status: OFF"; exit 2; }
    echo "Status: ON"
    ;;
  monitor) ;;
  *) exit 1 ;;
esac
"""


class ToyAgent:
    """The agent below a directory. `path` is the one that cluster.yaml names."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.path = place / "fence_toy"
        self.path.write_text(_SCRIPT)
        self.path.chmod(0o755)

    def asked(self) -> list[str]:
        """Its requests, as `ACTION PLUG NODE`, with `-` for each that was not given."""
        log = self.place / "log"
        return log.read_text().splitlines() if log.exists() else []

    def power(self, plug: str) -> str:
        """The last state that a plug was switched to; "" when it never was switched."""
        file = self.place / f"power-{plug}"
        return file.read_text().strip() if file.exists() else ""

    def put(self, name: str, text: str = "") -> None:
        """Write one of its files."""
        (self.place / name).write_text(text)

    def device(self, name: str = "switch", **options: str) -> str:
        """A device in cluster.yaml."""
        more = "".join(f", {key}: {value}" for key, value in options.items())
        limits = "timeout: 10s, status_timeout: 10s"
        return f"{{name: {name}, agent: {self.path}, options: {{dir: {self.place}{more}}}, {limits}}}"
