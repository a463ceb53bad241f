"""Files that root reads or runs by node.toml, and that others may change on this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from fencing.linux.trusted import untrusted, untrusted_directory
from hactl.config.node import NodeConfig

_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


def open_to_others(config: NodeConfig, node_toml: Path | None = None) -> Iterator[tuple[str, str]]:
    """The problems, each with the command against it. A file that is not there is not looked at."""
    haproxy = shutil.which(config.haproxy_binary, path=f"{os.environ.get('PATH', os.defpath)}:{_SBIN}")
    files = (
        node_toml and str(node_toml.absolute()),
        haproxy,
        config.self_fence[1] if len(config.self_fence) > 1 else "",
    )
    problems = [(path, untrusted(path)) for path in files if path and Path(path).is_file()]
    places = (config.state_dir, config.run_dir)
    problems += [(path, untrusted_directory(path)) for path in places if Path(path).is_dir()]
    for path, problem in problems:
        if problem:
            reason, _, hint = problem.partition(": `")
            yield f"others may change {path}, and so have programs run as root: {reason}", f"`{hint}" if hint else ""
