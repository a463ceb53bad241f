"""`python -m hactl.lab …`: the lab without the rest of hactl's command line."""

from __future__ import annotations

import argparse
import json
import sys

from hactl.lab import commands
from hactl.lab.switch import FAULTS
from hactl.lab.system import LabError


def parser() -> argparse.ArgumentParser:
    """The command line: every command's options have the names of its function's parameters."""
    top = argparse.ArgumentParser(prog="hactl lab", description="a whole cluster on one machine")
    families = top.add_subparsers(dest="command", required=True)
    parsers: dict[str, argparse.ArgumentParser] = {}
    for command in ("up", "down", "status", "kill", "start", "freeze", "thaw", "partition", "heal", "switch", "probe"):
        text = (getattr(commands, command).__doc__ or "").partition("\n")[0]
        parsers[command] = families.add_parser(command, help=text)
        parsers[command].add_argument("--name", default="lab", help="the lab's name")
    for command in ("kill", "start", "freeze", "thaw", "partition"):
        parsers[command].add_argument("node")
    parsers["partition"].add_argument("other", help="a node, peers, client, all, etcd or switch")
    parsers["partition"].add_argument("--direction", choices=["both", "out", "in"], default="both")
    parsers["up"].add_argument("--nodes", type=int, default=3)
    parsers["up"].add_argument("--profile", choices=["default", "fast"], default="default")
    parsers["up"].add_argument("--dir", dest="directory", default="")
    parsers["up"].add_argument("--fencing", action="store_true", help="with a power switch, by which nodes are fenced")
    parsers["up"].add_argument("--supplies", type=int, default=1, help="each node's power supplies, 1 or 2")
    parsers["up"].add_argument("--no-daemon", dest="daemon", action="store_false")
    parsers["down"].add_argument("--all", dest="every", action="store_true")
    parsers["down"].add_argument("--keep-files", action="store_true")
    parsers["switch"].add_argument("unit", help="switch, switch-b or bmc")
    parsers["switch"].add_argument("fault", choices=["works", *FAULTS])
    parsers["probe"].add_argument("target", nargs="?", default=argparse.SUPPRESS, help="ADDRESS:PORT")
    parsers["probe"].add_argument("--seconds", type=float, default=10.0)
    parsers["probe"].add_argument("--interval-ms", type=float, default=10.0)
    return top


def main() -> None:
    """Entry point."""
    given = vars(parser().parse_args())
    try:
        shown = getattr(commands, given.pop("command"))(**given)
    except LabError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    sys.stdout.write((json.dumps(shown, indent=1) if isinstance(shown, dict) else str(shown)) + "\n")


if __name__ == "__main__":
    main()
