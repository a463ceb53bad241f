"""pyroute2's messages of rtnetlink(7), without the rest of pyroute2.

`import pyroute2` brings all of that library in, since its package imports every part: 9 MB and 50 ms for what are
two kinds of messages here. So the parts are imported below an empty package of its name, which is taken away
again: a later import of pyroute2 gets all of it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any


def _parts(package: str, *names: str) -> list[Any]:
    """The modules `names` of `package`, without running the package's own code."""
    spec = importlib.util.find_spec(package)
    if package in sys.modules or spec is None or spec.submodule_search_locations is None:
        return [importlib.import_module(f"{package}.{name}") for name in names]
    empty = ModuleType(package)
    empty.__path__, empty.__spec__ = spec.submodule_search_locations, spec
    sys.modules[package] = empty
    try:
        return [importlib.import_module(f"{package}.{name}") for name in names]
    finally:
        del sys.modules[package]


_rtnl = "netlink.rtnl"
_addr, _link, _marshal = _parts("pyroute2", f"{_rtnl}.ifaddrmsg", f"{_rtnl}.ifinfmsg", f"{_rtnl}.marshal")

ifaddrmsg, ifinfmsg, MarshalRtnl = _addr.ifaddrmsg, _link.ifinfmsg, _marshal.MarshalRtnl
