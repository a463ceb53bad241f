"""A resource's parameters, checked against its agent's metadata. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fencing.agents.redact import is_secret
from fencing.agents.values import nearest, quoted, wrong_kind
from hactl.model.resources import OcfOptions
from hactl.resources.ocf.metadata import OcfMetadata, OcfParameter

# Of the library of most agents (`ocf-shellfuncs`), in no agent's metadata.
_OF_THE_LIBRARY = frozenset({"trace_ra", "trace_dir", "trace_file"})


@dataclass(frozen=True, slots=True)
class ParameterProblem:
    """A problem of a parameter. `section`: where it stands, `parameters` or `secrets`. Not `refused`: it is allowed,
    but doubtful. `in_use`: it is given, so that it has a place in the configuration. `exposes`: it works, but others
    may read a secret."""

    section: str
    name: str
    message: str
    hint: str = ""
    refused: bool = True
    in_use: bool = True
    exposes: bool = False

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


def check(agent: str, metadata: OcfMetadata, options: OcfOptions) -> list[ParameterProblem]:
    """All that is wrong with the parameters of `agent`. One that is missing because it was misspelt is one problem, not
    two."""
    given = [("parameters", name) for name in options.parameters] + [("secrets", name) for name in options.secrets]
    problems = [problem for section, name in given for problem in _unknown(agent, metadata, section, name)]
    for name, value in options.parameters.items():
        known = metadata.parameter(name)
        if known is not None:
            problems += _check_value(known, value)
    meant = {_near(metadata, name) for _, name in given if metadata.parameter(name) is None}
    return [*problems, *(problem for problem in _missing(agent, metadata, options) if problem.name not in meant)]


def _unknown(agent: str, metadata: OcfMetadata, section: str, name: str) -> Iterator[ParameterProblem]:
    known = metadata.parameter(name)
    if known is None and name not in _OF_THE_LIBRARY:
        close = metadata.parameter(_near(metadata, name))
        hint = f"`hactl resource describe {agent}` shows its parameters"
        if close is not None:
            hint = f"did you mean `{close.name}`" + (f", {words}?" if (words := quoted(close.description)) else "?")
        yield ParameterProblem(section, name, f"{agent} has no parameter `{name}`", hint)
    elif known is not None and known.deprecated:
        hint = f"see `hactl resource describe {agent}`"
        yield ParameterProblem(section, name, f"parameter `{name}` is an old one, to be given up", hint, refused=False)


def _near(metadata: OcfMetadata, name: str) -> str:
    return nearest(name, [parameter.name for parameter in metadata.parameters])


def _check_value(known: OcfParameter, value: str) -> Iterator[ParameterProblem]:
    name, secret = known.name, known.secret or is_secret(known.name)
    # An empty value is as good as none: agents take their default.
    wrong = wrong_kind(known.kind, known.choices, value) if value else ""
    if wrong:
        shown = "its value" if secret else f"`{value}`"
        yield ParameterProblem("parameters", name, f"parameter `{name}`: {shown} {wrong}", quoted(known.description))
    elif secret and value:
        hint = f"write `secrets: {{{name}: /etc/hactl/secrets/NAME}}`, and put it into that file on each node"
        message = f"parameter `{name}` would be kept in etcd for all to read"
        yield ParameterProblem("parameters", name, message, hint, exposes=True)


def _missing(agent: str, metadata: OcfMetadata, options: OcfOptions) -> Iterator[ParameterProblem]:
    for known in metadata.parameters:
        given = options.parameters.get(known.name) or known.name in options.secrets
        if known.required and not given:
            message, hint = f"{agent} needs the parameter `{known.name}`", quoted(known.description)
            yield ParameterProblem("parameters", known.name, message, hint, in_use=False)
