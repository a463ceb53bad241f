"""Each transcript is what the simulation writes: a command, and what every node then did. They are the examples of
docs/protocol.md. `pytest tests/transcripts --update` writes them anew."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import pytest

from tests.simulation.checks import Violation
from tests.transcripts.play import Play
from tests.transcripts.script import COMMAND, FOLDER, INDENT, Script, is_command, transcripts

PROTOCOL = FOLDER.parents[1] / "docs" / "protocol.md"


def play(script: Script) -> str:
    """The whole file as it should be."""
    played, lines = Play(), []
    try:
        for line in script.lines:
            lines.append(line)
            if is_command(line):
                lines += [INDENT + told for told in played.do(line.removeprefix(COMMAND))]
        played.finish()
    except Violation as violation:
        violation.add_note("\n".join([*lines, *(INDENT + told for told in played.prose.take())]))
        raise
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", transcripts(), ids=lambda path: path.stem)
def test_a_transcript_is_what_happens(path: Path, request: pytest.FixtureRequest) -> None:
    """The promises hold all the while, and in the end, with all faults over, every group runs."""
    now, before = play(Script.read(path)), path.read_text()
    if request.config.getoption("--update", False):
        path.write_text(now)
        return
    diff = difflib.unified_diff(
        before.splitlines(), now.splitlines(), "the transcript", "what happens now", lineterm=""
    )
    assert now == before, "\n".join(["", *diff, "", "as intended? pytest tests/transcripts --update"])


@pytest.mark.parametrize("path", transcripts(), ids=lambda path: path.stem)
def test_the_section_of_the_protocol_that_it_is_an_example_of_links_to_it(path: Path) -> None:
    named = re.search(
        r'^An example of docs/(protocol|placement|clones|promotable)\.md, "(.+)"\.$', path.read_text(), re.MULTILINE
    )
    assert named is not None
    page = PROTOCOL.with_name(f"{named[1]}.md")
    sections = re.split(r"^#+ (.+)\n", page.read_text(), flags=re.MULTILINE)
    content = dict(zip(sections[1::2], sections[2::2], strict=True))
    assert f"(../tests/transcripts/{path.name})" in content[named[2]]
