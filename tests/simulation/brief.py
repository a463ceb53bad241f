"""An event or an effect of the decision code in a line of the schedule's transcript."""

from __future__ import annotations

from typing import Any

from hactl.model import effects, events


def brief(effect: Any) -> str:
    """An event or effect in a line of the transcript."""
    match effect:
        case events.Watched():
            return "watch: " + ", ".join(
                ("-" if c.deleted else "+") + "/".join(c.kv.key.split("/")[3:]) + f"@{c.kv.mod_revision}"
                for c in effect.batch.changes
            )
        case events.Listed():
            return f"list @{effect.snapshot.revision}"
        case events.TxnDone():
            outcome = "no answer" if effect.result is None else "ok" if effect.result.succeeded else "failed"
            return f"txn {effect.id}: {outcome}" + (f" @{effect.result.revision}" if effect.result else "")
        case effects.SendTxn():
            return f"txn {effect.id} {effect.purpose}"
        case effects.Act():
            return f"{effect.action} {effect.group}/{effect.resource.name} (epoch {effect.epoch & ((1 << 44) - 1)})"
        case effects.GuardRegister():
            return f"register {effect.group.name}/{effect.resource.name}"
        case events.Configured():
            return f"configuration @{effect.revision}"
    return str(effect)
