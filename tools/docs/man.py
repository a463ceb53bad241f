"""The manual pages, from the code: `python -m tools.docs.man DIRECTORY` writes them all. The package's build does."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import typer.main
from pydantic import BaseModel

from hactl import __version__
from hactl.cli.app import app
from hactl.config.node import NodeConfig
from hactl.config.schema import Cluster
from tools.docs.cli import help_of, meaning_of, names_of, shown_parameters, usage_of
from tools.docs.configuration import default_of, doc_of, models_of, node_default, value_of

_FILES = """\
.SH FILES
.TP
.I /etc/hactl/node.toml
This node's settings, see
.BR hactl\\-node.toml (5).
.TP
.I /var/lib/hactl
State that survives a reboot.
.TP
.I /run/hactl
Sockets, and files that need not survive a reboot.
"""
_EXIT = """\
.SH EXIT STATUS
0 done, 1 failed or refused, 2 bad input, 3 not in time. A command that has others says so.
"""
_SERVICE = r"""
.SH NAME
hactl.service, hactl\-http.service \- the daemon of a node, and what serves its metrics
.SH SYNOPSIS
.B systemctl enable \-\-now hactl hactl\-http
.SH DESCRIPTION
.B hactl.service
is the daemon. It renews this node's session in etcd, starts and stops what the cluster runs here, and answers
.BR hactl (1).
Its guard, HAProxy and what runs here exclusively are in control groups of their own. A restart of the unit stops none
of them, if the next daemon renews the session in time (node.toml: \fBon_sigterm\fP).
In standby, and when the machine goes down, the daemon hands over and closes its session.
.PP
.B hactl\-http.service
serves metrics and health on the network, without privileges. It may be stopped at any time.
"""
_SERVICE_END = r"""
.SH ENVIRONMENT
.TP
.B HACTL_REMOVE
\fBforce\fP: removing the package stops what runs here though no other node can have it.
"""
# The pages beside hactl(1): their title and what they are about.
_NODE_TOML = "this node's settings of hactl"
_CLUSTER_YAML = "the configuration of a hactl cluster"


def pages() -> dict[str, str]:
    """Every page by its file's name."""
    top: Any = typer.main.get_command(app)
    made = {f"hactl-{name}.1": _command_page(name, command) for name, command in top.commands.items()}
    made["hactl.1"] = _top_page(top)
    made["hactl-node.toml.5"] = _node_toml()
    made["hactl-cluster.yaml.5"] = _cluster_yaml()
    made["hactl.service.8"] = _head("hactl.service", 8) + _SERVICE.strip() + "\n" + _FILES + _SERVICE_END.strip() + "\n"
    return made | {"hactl-http.service.8": ".so man8/hactl.service.8\n"}


def roff(text: str) -> str:
    """Plain text as roff; `quoted` words become bold."""
    escaped = (
        text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("^", "\\(ha").replace("~", "\\(ti")
    )
    bold = re.sub(r"`([^`]+)`", r"\\fB\1\\fP", escaped).replace("`", "\\(ga")
    return "\n".join(f"\\&{line}" if line.startswith(".") else line for line in bold.splitlines())


def _head(title: str, section: int) -> str:
    return f'.TH {roff(title).upper() if section == 1 else roff(title)} {section} "" "hactl {__version__}"\n'


def _first_sentence(text: str) -> str:
    first = re.split(r"\.(?:\s|$)", " ".join(text.split()), maxsplit=1)[0]
    return first[:1].lower() + first[1:]


def _top_page(top: Any) -> str:
    lines = [_head("hactl", 1) + ".SH NAME", "hactl \\- manage a high\\-availability cluster", ".SH SYNOPSIS"]
    lines += [
        ".B hactl",
        "[\\fB\\-\\-config\\fP \\fINODE_TOML\\fP] \\fICOMMAND\\fP ...",
        ".SH DESCRIPTION",
        roff(top.help),
    ]
    lines += [".PP", "Commands ask this node's daemon, and etcd where none answers.", ".SH COMMANDS"]
    for name, command in top.commands.items():
        lines += [".TP", f".BR hactl\\-{name} (1)", roff(" ".join(help_of(command).partition("\n\n")[0].split()))]
    lines += [".SH OPTIONS", *_parameters(top)]
    lines += [_EXIT + _FILES.rstrip(), ".SH SEE ALSO", ".BR hactl\\-node.toml (5),", ".BR hactl\\-cluster.yaml (5),"]
    return "\n".join([*lines, ".BR hactl.service (8)"]) + "\n"


def _command_page(name: str, command: Any) -> str:
    lines = [_head(f"hactl-{name}", 1) + ".SH NAME", f"hactl\\-{name} \\- {roff(_first_sentence(help_of(command)))}"]
    commands = dict(_leaves(f"hactl {name}", command))
    lines += [".SH SYNOPSIS"]
    for words, leaf in commands.items():
        usage = " ".join(usage_of(parameter) for parameter in shown_parameters(leaf))
        lines += [f".B {roff(words)}", roff(usage), ".br"]
    lines[-1] = ".SH DESCRIPTION"
    lines += [roff(help_of(command))] if len(commands) > 1 else []
    for words, leaf in commands.items():
        lines += [f".SS {roff(words)}"] if len(commands) > 1 else []
        lines += [_paragraphs(help_of(leaf)), *_parameters(leaf)]
    return "\n".join([*lines, _EXIT.rstrip(), ".SH SEE ALSO", ".BR hactl (1)"]) + "\n"


def _leaves(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield words, command
        return
    for word, inner in command.commands.items():
        yield from _leaves(f"{words} {word}", inner)


def _paragraphs(text: str) -> str:
    return "\n.PP\n".join(roff(" ".join(part.split())) for part in text.split("\n\n"))


def _parameters(command: Any) -> Iterator[str]:
    for parameter in shown_parameters(command):
        if getattr(parameter, "help", None):
            yield f".TP\n.B {roff(names_of(parameter))}\n{roff(meaning_of(parameter))}"


def _node_toml() -> str:
    lines = [_head("hactl-node.toml", 5) + ".SH NAME", f"hactl\\-node.toml \\- {roff(_NODE_TOML)}", ".SH SYNOPSIS"]
    lines += [
        ".I /etc/hactl/node.toml",
        ".SH DESCRIPTION",
        "TOML, read by the daemon at its start and by every command.",
    ]
    lines += [".SH SETTINGS"]
    for field in fields(NodeConfig):
        lines += [f".TP\n.B {roff(field.name)}", roff(f"{field.metadata['meaning']}. {_default(node_default(field))}")]
    return "\n".join([*lines, ".SH SEE ALSO", ".BR hactl (1)"]) + "\n"


def _cluster_yaml() -> str:
    about = "YAML, the same for all nodes, kept in etcd: `hactl config apply FILE` brings it there."
    lines = [_head("hactl-cluster.yaml", 5) + ".SH NAME", f"hactl\\-cluster.yaml \\- {roff(_CLUSTER_YAML)}"]
    lines += [".SH DESCRIPTION", roff(about), ".SH SETTINGS"]
    shown: dict[type[BaseModel], str] = {}
    for title, model in models_of(Cluster, ""):
        lines += [f".SS {roff(title or 'The file')}"]
        if model in shown:
            lines += [roff(f"As `{shown[model]}`.")]
            continue
        shown[model] = title
        lines += [roff(doc_of(model))]
        for name, info in model.model_fields.items():
            default = _default(default_of(name, info, getattr(model, "BUILT_IN", None)))
            lines += [f".TP\n.B {roff(name)}", roff(f"({value_of(info)}) {info.description or ''}. {default}".strip())]
    return "\n".join([*lines, ".SH SEE ALSO", ".BR hactl\\-config (1),", ".BR hactl\\-preset (1)"]) + "\n"


def _default(default: str) -> str:
    return "" if not default else "Required." if default == "required" else f"Default: {default}."


def main(argv: list[str] | None = None) -> int:
    """Write all pages."""
    parser = argparse.ArgumentParser(prog="python -m tools.docs.man")
    parser.add_argument("directory", type=Path)
    directory: Path = parser.parse_args(argv).directory
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (directory / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
