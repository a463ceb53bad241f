"""cluster.yaml with a node more, without one, or with another name or address for one. Pure.

Only the places that change are written anew: comments, order and form of all else stay as the operator wrote them.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from hactl.setup.errors import RefusedError
from hactl.setup.plan import Host
from hactl.setup.render import yaml_text


class Splice(NamedTuple):
    """Text in the place of what is from `start` to `end`, both counted in characters."""

    start: int
    end: int
    text: str


def with_node(text: str, host: Host) -> str:
    """With this node, after the others; as it is where it has one of this name."""
    document = _Document(text)
    if document.node(host.name) is not None:
        return text
    return document.spliced([document.appended(_fields(host))])


def without_node(text: str, name: str) -> str:
    """Without this node, and without its name where groups and services name it. Raises RefusedError where one of them
    names no other, or a server is on it."""
    document = _Document(text)
    if document.node(name) is None:
        return text
    document.refuse_needed(name)
    lists = [(sequence, entry) for sequence, entry in document.mentions(name) if sequence is not None]
    return document.spliced(document.taken_out(sequence, entry) for sequence, entry in lists)


def with_name(text: str, old: str, new: str) -> str:
    """With another name for this node, everywhere."""
    document = _Document(text)
    scalars = [entry for _, entry in document.mentions(old, names=True)]
    return document.spliced(_scalar(entry, new) for entry in scalars)


def with_address(text: str, host: Host, old: str) -> str:
    """With the address of `host` for the node of that name, where it has the address `old`."""
    document = _Document(text)
    address = _value(document.node(host.name), "address")
    if address is None or _text(address) != old:
        return text
    return document.spliced([_scalar(address, host.address)])


def _fields(host: Host) -> tuple[tuple[str, str], ...]:
    return (("name", yaml_text(host.name)), ("address", yaml_text(host.address)))


class _Document:
    """`text`: of a cluster.yaml that was read without an error."""

    def __init__(self, text: str) -> None:
        try:
            root = YAML(typ="safe", pure=True).compose(io.StringIO(text))
        except YAMLError as error:
            raise RefusedError(f"cluster.yaml is not YAML: {error}") from None
        nodes = _value(root, "nodes")
        if not isinstance(nodes, SequenceNode) or not nodes.value:
            raise RefusedError("cluster.yaml has no `nodes`")
        self.text, self.root, self.nodes = text, root, nodes

    def node(self, name: str) -> MappingNode | None:
        """The entry of a node."""
        return next((node for node in self.nodes.value if _text(_value(node, "name")) == name), None)

    def mentions(self, name: str, *, names: bool = False) -> Iterator[tuple[SequenceNode | None, Node]]:
        """Where a node is named: the list, and its entry in it. `names`: its name itself, also that of its own entry
        and of servers that are on it, which are in no list."""
        node = self.node(name)
        if node is not None and not names:
            yield self.nodes, node
        elif (own := _value(node, "name")) is not None:
            yield None, own
        seen: set[int] = set()
        for kind in ("groups", "services"):
            for part in _entries(self.root, kind):
                nodes = _value(part, "nodes")
                if isinstance(nodes, SequenceNode) and id(nodes) not in seen:
                    seen.add(id(nodes))  # an alias is the same list
                    yield from ((nodes, entry) for entry in nodes.value if _text(entry) == name)
                for server in _entries(part, "servers") if names else ():
                    if _text(place := _value(server, "node")) == name and isinstance(place, Node):
                        yield None, place

    def refuse_needed(self, name: str) -> None:
        """Raises RefusedError where something would be left without a node."""
        for kind in ("groups", "services"):
            for part in _entries(self.root, kind):
                called = f"{kind[:-1]} {_text(_value(part, 'name'))}"
                if [_text(node) for node in _entries(part, "nodes")] == [name]:
                    raise RefusedError(f"{called} names no other node than {name}: {_FIRST}")
                if any(_text(_value(server, "node")) == name for server in _entries(part, "servers")):
                    raise RefusedError(f"{called} has a server on {name}: {_FIRST}")

    def appended(self, fields: tuple[tuple[str, str], ...]) -> Splice:
        """A further entry of `nodes`."""
        last = self.nodes.value[-1]
        end, short = _end(last), f"{{{', '.join(f'{key}: {value}' for key, value in fields)}}}"
        if self.nodes.flow_style:
            return Splice(end, end, f", {short}")
        line, dash = self._dash(last)
        indent = " " * (dash - line)
        if last.flow_style:
            made = f"{indent}- {short}"
        else:
            pairs = [f"{key}: {value}" for key, value in fields]
            made = f"{indent}- {pairs[0]}\n{indent}  {pairs[1]}"
        end = self._line_end(end)
        return Splice(end, end, f"\n{made}")

    def taken_out(self, sequence: SequenceNode, entry: Node) -> Splice:
        """Without one of its entries."""
        entries = sequence.value
        place = entries.index(entry)
        if not sequence.flow_style:
            line, _ = self._dash(entry)
            after = self._line_end(_end(entry)) + 1
            return Splice(line, min(after, len(self.text)), "")
        if place + 1 < len(entries):
            return Splice(entry.start_mark.index, entries[place + 1].start_mark.index, "")
        return Splice(_end(entries[place - 1]), _end(entry), "")

    def spliced(self, splices: Iterable[Splice]) -> str:
        """The text with all of these."""
        text = self.text
        for splice in sorted(set(splices), reverse=True):
            text = text[: splice.start] + splice.text + text[splice.end :]
        return text

    def _dash(self, entry: Node) -> tuple[int, int]:
        """Where the line of an entry of a list begins, and its dash."""
        line = self.text.rfind("\n", 0, entry.start_mark.index) + 1
        before = self.text[line : entry.start_mark.index]
        if before.strip() != "-":
            raise RefusedError(
                f"line {entry.start_mark.line + 1} of cluster.yaml has a form that cannot be changed: {_BY_HAND}"
            )
        return line, line + before.index("-")

    def _line_end(self, index: int) -> int:
        end = self.text.find("\n", index)
        return len(self.text) if end < 0 else end


_FIRST = "change that in cluster.yaml and `hactl config apply` it, then repeat this"
_BY_HAND = "change the nodes there by hand and `hactl config apply` it, then repeat this"


def _entries(node: Node | None, key: str) -> list[Node]:
    value = _value(node, key)
    return list(value.value) if isinstance(value, SequenceNode) else []


def _value(node: Node | None, key: str) -> Node | None:
    if not isinstance(node, MappingNode):
        return None
    return next((value for name, value in node.value if _text(name) == key), None)


def _text(node: Node | None) -> str:
    return str(node.value) if isinstance(node, ScalarNode) else ""


def _scalar(node: Node, text: str) -> Splice:
    return Splice(node.start_mark.index, node.end_mark.index, yaml_text(text))


def _end(node: Node) -> int:
    """Behind its last character: the mark of a mapping in lines is behind the comments after it."""
    if not isinstance(node, MappingNode | SequenceNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(node, MappingNode) else last)
