"""The environment of an OCF resource agent. Pure.

Sources: the OCF resource agent API 1.1, *Environment Variables*; `ocf-shellfuncs` of resource-agents for what agents
read beside it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from hactl.model.resources import OcfSpec

ROOT = "/usr/lib/ocf"
EXIT_REASON = "ocf-exit-reason:"
# As of a Pacemaker of today: agents ask what its commands can do.
_FEATURE_SET = "3.19.0"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The commands of Pacemaker's that agents call: stand-ins for them (`commands/`).
COMMANDS = f"{__file__.rpartition('/')[0]}/commands"


def instance(group: str, name: str) -> str:
    """The resource's name for its agent, unique on the node: agents name their files after it."""
    return f"{group}.{name}" if group else name


def agent_path(agent: str, root: str = ROOT) -> str:
    """Where the agent `provider:name` is."""
    provider, _, name = agent.partition(":")
    return f"{root}/resource.d/{provider}/{name}"


def of_metadata(agent: str, root: str = ROOT) -> dict[str, str]:
    """For an action that has to do with no resource."""
    provider, _, name = agent.partition(":")
    return {
        "PATH": f"{COMMANDS}:{_PATH}",
        "LC_ALL": "C",
        "OCF_ROOT": root,
        "OCF_RA_VERSION_MAJOR": "1",
        "OCF_RA_VERSION_MINOR": "1",
        "OCF_RESOURCE_TYPE": name,
        "OCF_RESOURCE_PROVIDER": provider,
        "OCF_RESOURCE_INSTANCE": name,
        "OCF_EXIT_REASON_PREFIX": EXIT_REASON,
        "HA_SBIN_DIR": COMMANDS,
        "HA_LOGFACILITY": "none",  # to standard error
        "HA_DATEFMT": " ",
        "HA_debug": "0",
    }


def of_resource(spec: OcfSpec, group: str, node: str, run_dir: str, root: str = ROOT) -> dict[str, str]:
    """For every action on the resource; without its secrets. `run_dir`: where its files are until the next boot."""
    return {
        **of_metadata(spec.options.agent, root),
        "OCF_RESOURCE_INSTANCE": instance(group, spec.name),
        **{f"OCF_RESKEY_{name}": value for name, value in spec.options.parameters.items()},
        "OCF_RESKEY_crm_feature_set": _FEATURE_SET,
        "OCF_RESKEY_CRM_meta_on_node": node,
        **of_clone(spec),
        "HA_RSCTMP": f"{run_dir}/tmp",
        "HACTL_OCF_ATTRIBUTES": f"{run_dir}/attributes",
        "HACTL_RESOURCE": spec.name,
        "HACTL_NODE": node,
        **({"HACTL_GROUP": group} if group else {}),
    }


def of_clone(spec: OcfSpec) -> dict[str, str]:
    """Of a resource that runs on several nodes: what Pacemaker tells the agent of an anonymous clone, and of one that
    can be promoted by its old and its new names. There are no notifications."""
    options = spec.options
    if not options.clone_max:
        return {}
    known = {
        "clone": "0",
        "clone_max": str(options.clone_max),
        "clone_node_max": "1",
        "globally_unique": "false",
        "notify": "false",
    }
    if options.promoted_max:
        known["promotable"] = "true"
        for promoted in ("promoted", "master"):
            known |= {f"{promoted}_max": str(options.promoted_max), f"{promoted}_node_max": "1"}
    return {f"OCF_RESKEY_CRM_meta_{name}": value for name, value in known.items()}


def of_action(
    action: str, timeout_ms: float, interval_ms: float = 0, check_level: int = 0, role: str = ""
) -> dict[str, str]:
    """For one action. `interval_ms`: how often it is asked, 0: once; `role`: that in which the instance should be."""
    return {
        "OCF_RESKEY_CRM_meta_name": action,
        "OCF_RESKEY_CRM_meta_timeout": f"{timeout_ms:.0f}",
        "OCF_RESKEY_CRM_meta_interval": f"{interval_ms:.0f}",
        "OCF_CHECK_LEVEL": str(check_level),
        **({"OCF_RESKEY_CRM_meta_role": role} if role else {}),
    }


def secrets_script(secrets: Mapping[str, str]) -> str:
    """For a shell: take each secret out of its file into the environment. No secret is in the script."""
    return "".join(
        f'OCF_RESKEY_{name}="$(cat {shlex.quote(path)} 2>/dev/null)" && export OCF_RESKEY_{name}; '
        for name, path in secrets.items()
    )
