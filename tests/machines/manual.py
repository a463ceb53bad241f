"""The commands of the manual (docs/): tests type them as they stand there, so that they cannot rot."""

from __future__ import annotations

import re

from tests.machines.debian import release
from tests.support.package import ROOT


def block(page: str, heading: str) -> list[str]:
    """The commands of the first block below a heading of docs/`page`."""
    text = (ROOT / "docs" / page).read_text()
    below = re.split(rf"^#+ {re.escape(heading)}$", text, maxsplit=1, flags=re.MULTILINE)
    assert len(below) == 2, f"docs/{page} has no heading {heading!r}"
    return [
        _here(line) for line in re.split(r"^```.*$", below[1], maxsplit=2, flags=re.MULTILINE)[1].split("\n") if line
    ]


def command(page: str, begins: str) -> str:
    """The command of docs/`page` that begins so."""
    blocks = re.split(r"^```.*$", (ROOT / "docs" / page).read_text(), flags=re.MULTILINE)[1::2]
    for line in "\n".join(blocks).split("\n"):
        if line.startswith(begins):
            return _here(line)
    raise AssertionError(f"docs/{page} has no command {begins!r}")


def words_in_code(page: str) -> set[str]:
    """All that stands in `code` within the sentences of docs/`page`."""
    return set(re.findall(r"`([^`]+)`", (ROOT / "docs" / page).read_text()))


def _here(line: str) -> str:
    """With the addresses of the machines, and their Debian; without the remark."""
    plain = re.sub(r"\s+# .*", "", line)
    return plain.replace("10.0.0.", "10.77.0.").replace("~deb12_", f"~deb{release()}_")
