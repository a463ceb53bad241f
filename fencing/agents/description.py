"""The XML by which an agent describes itself, of fencing or of a resource: read with care. Pure."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import NoReturn
from xml.parsers import expat

# The longest of those in fence-agents 4.12 is 11 kB, of those in resource-agents 4.12 13 kB.
MAX_CHARACTERS = 1_000_000


class MetadataError(ValueError):
    """An agent's output is not metadata. The message says why, for the operator."""


def read_xml(text: str) -> ET.Element:
    """The document. Entities are refused, so that nothing can be longer than it looks. Raises MetadataError."""
    text = text.strip()
    if len(text) > MAX_CHARACTERS:
        raise MetadataError(f"it wrote more than {MAX_CHARACTERS} characters")
    if not text.startswith("<"):
        raise MetadataError("it wrote no XML")
    builder, parser = ET.TreeBuilder(), expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = _refuse_entity
    try:
        parser.Parse(text, True)
        return builder.close()
    except expat.ExpatError as error:
        raise MetadataError(f"its XML is broken: {error}") from None


def is_true(value: str | None) -> bool:
    """An attribute that is a switch."""
    return (value or "").strip().lower() in ("1", "true", "yes")


def one_line(text: str) -> str:
    """Without line breaks and indentation."""
    return " ".join(text.split())


def _refuse_entity(*_: object) -> NoReturn:
    raise MetadataError("its XML defines entities")
