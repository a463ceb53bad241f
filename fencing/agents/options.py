"""A device's options, checked against its agent's metadata. Pure.

Source of the rules for values: `fencing.py` of fence-agents, which is most agents' reader of options.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeGuard

from fencing.agents.metadata import Metadata, Parameter
from fencing.agents.redact import is_secret
from fencing.agents.values import SWITCH_OFF, SWITCH_ON, nearest, quoted, wrong_kind
from fencing.topology import SecretFile

OptionValue = str | SecretFile

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_SCRIPT = re.compile(r"(.*pass(?:wd|word))[_-]script")
# With these an agent answers, with exit status 0, and does nothing: an `off` would look done.
_ANSWERS_ONLY = frozenset({"help", "version", "usage"})
_GIVEN_BY_US = frozenset({"action", "option", "nodename"})
_TELLS = frozenset({"debug", "debug_file", "logfile", "verbose", "verbose_level"})


@dataclass(frozen=True, slots=True)
class OptionProblem:
    """A problem of an option. A warning does not make the device useless."""

    option: str
    message: str
    hint: str = ""
    level: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message


def is_reference(value: object) -> TypeGuard[Mapping[str, str]]:
    """Whether a value of the configuration says where a secret is: `{file: PATH}`, a SecretFile's."""
    return isinstance(value, Mapping) and list(value) == ["file"] and isinstance(value["file"], str)


def as_text(value: str | int | bool) -> str:
    """A plain value of the configuration as the agents read it: switches are 1 and 0."""
    return str(int(value)) if isinstance(value, bool) else str(value)


def script_for(name: str) -> str:
    """The secret that the output of the script in option `name` is; "" when that is no such option."""
    match = _SCRIPT.fullmatch(name)
    return match[1] if match else ""


def refused_name(name: str) -> str:
    """Why no agent may be given an option of this name, whatever its metadata says; "" if it may."""
    plain = name.replace("-", "_")
    if not _NAME.fullmatch(name):
        return "is not a name that an option can have"
    if plain in _GIVEN_BY_US:
        return "is given by hactl itself"
    if plain in _ANSWERS_ONLY:
        return "makes the agent answer and do nothing"
    return ""


def refused_text(text: str) -> str:
    """Why a value cannot be given to an agent on a line of its standard input; "" if it can."""
    if any(character in text for character in "\n\r\0"):
        return "has more than one line"
    if text != text.strip():
        return "begins or ends with a space, which agents take away"
    if len(text) > 1 and text.startswith('"') and text.endswith('"'):
        return "is in double quotes, which agents take away"
    return ""


def check_options(metadata: Metadata, options: Mapping[str, OptionValue], *, plug: bool = False) -> list[OptionProblem]:
    """All that is wrong with a device's options. `plug`: each node's plug is given beside them."""
    problems = [problem for name, value in options.items() for problem in _check_one(metadata, name, value)]
    return [*problems, *_twice(metadata, options, plug), *_missing(metadata, options, plug)]


def _check_one(metadata: Metadata, name: str, value: OptionValue) -> Iterator[OptionProblem]:
    if refused := refused_name(name):
        yield OptionProblem(name, f"option `{name}` {refused}", "leave it out")
        return
    known = metadata.parameter(name)
    if known is None:
        yield OptionProblem(name, f"{metadata.name} has no option `{name}`", _near(metadata, name))
        return
    newer = metadata.newer_name(known)
    if newer != known.name:
        yield OptionProblem(name, f"option `{name}` is an old name", f"it is `{newer}` now", "warning")
    yield from _check_value(known, name, value)


def _check_value(known: Parameter, name: str, value: OptionValue) -> Iterator[OptionProblem]:
    secret = known.secret or is_secret(name)
    if isinstance(value, SecretFile):
        return
    wrong = refused_text(value) or wrong_kind(known.kind, known.choices, value)
    if wrong:
        # A secret's value is not repeated.
        shown = "its value" if secret else f"`{value}`"
        yield OptionProblem(name, f"option `{name}`: {shown} {wrong}", quoted(known.description))
    elif secret:
        hint = f"write `{name}: {{file: /etc/hactl/secrets/NAME}}`, and put it into that file on each node"
        yield OptionProblem(name, f"option `{name}` would be kept in etcd for all to read", hint, "warning")
    elif name == "method" and value.lower() == "cycle":
        message = "`method: cycle` cannot be verified: the machine is never seen to be off"
        yield OptionProblem(name, message, "use onoff")
    elif name == "missing_as_off" and value.lower() in SWITCH_ON:
        message = "`missing_as_off` makes a plug with a misspelled name look like a machine that is off"
        yield OptionProblem(name, message, "leave it out, unless machines are deleted when they stop", "warning")
    elif name in _TELLS and value.lower() not in SWITCH_OFF:
        message = (
            f"with `{name}` the agent writes down what it does, perhaps with secrets, where hactl cannot hide them"
        )
        yield OptionProblem(name, message, "leave it out when you have seen what you look for", "warning")


def _twice(metadata: Metadata, options: Mapping[str, OptionValue], plug: bool) -> Iterator[OptionProblem]:
    """Options that are given under two names: which one counts, only the agent knows."""
    first: dict[str, str] = {}
    for name in options:
        known = metadata.parameter(name)
        meant = metadata.newer_name(known).replace("-", "_") if known else name
        if meant in first:
            message = f"option `{name}` is the same as `{first[meant]}`"
            yield OptionProblem(name, message, "leave one out")
        first.setdefault(meant, name)
    if plug and metadata.plug_option in first:
        name = first[metadata.plug_option]
        yield OptionProblem(name, f"option `{name}` would be the same for every node", "each node's plug is given")


def _missing(metadata: Metadata, options: Mapping[str, OptionValue], plug: bool) -> Iterator[OptionProblem]:
    given = {metadata.newer_name(known) for name in options if (known := metadata.parameter(name))}
    given |= _GIVEN_BY_US | ({metadata.plug_option or ""} if plug else set())
    for known in metadata.parameters:
        old = metadata.newer_name(known) != known.name
        if known.required and not old and known.default is None and known.name not in given:
            yield OptionProblem(
                known.name, f"{metadata.name} needs the option `{known.name}`", quoted(known.description)
            )


def _near(metadata: Metadata, name: str) -> str:
    names = [parameter.name for parameter in metadata.parameters if metadata.newer_name(parameter) == parameter.name]
    names = [other for other in names if not refused_name(other)]
    close = nearest(name, names)
    known = metadata.parameter(close) if close else None
    if known is None:
        return f"`hactl fence describe {metadata.name}` shows its options"
    described = quoted(known.description)
    return f"did you mean `{known.name}`" + (f", {described}?" if described else "?")
