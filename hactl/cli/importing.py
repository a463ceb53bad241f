"""`hactl import …`: other programs' configurations turned into cluster.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hactl.cli.common import BAD_INPUT, FAILED, CliError, say, tell


def haproxy(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="HAProxy's configuration, such as haproxy.cfg. If HAProxy reads several files or directories (`-f`), "
            "all of them in the same order.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT", help="The file to write. Default: standard output.")
    ] = None,
    cluster: Annotated[
        Path | None,
        typer.Option(
            "--cluster",
            metavar="CLUSTER_YAML",
            help="Add the result to a copy of this cluster.yaml. If the servers of a service are exactly its nodes, "
            "they become the service's members.",
        ),
    ] = None,
) -> None:
    """Turn HAProxy's configuration into `services` and `haproxy` of cluster.yaml.

    Prints, on standard error, each line that was kept word for word, left out, or could not be carried over.
    Exit status: 0 all was carried over, 1 a line could not be carried over, 2 the file is refused.
    """
    from hactl.importers.haproxy.commands import import_haproxy  # noqa: PLC0415 - heavy

    done = import_haproxy(files, cluster)
    if output is None:
        say(done.yaml.rstrip("\n"))
    else:
        try:
            _write(output, done.yaml)
        except OSError as error:
            raise CliError(f"{output}: cannot be written: {error.strerror}", BAD_INPUT) from None
    for line in done.report:
        tell(line)
    raise typer.Exit(0 if done.whole else FAILED)


def _write(output: Path, text: str) -> None:
    """For its user alone, since userlists may be in it; a link of that name is not followed. Raises OSError."""
    from hactl.linux.atomic_write import write_atomically  # noqa: PLC0415 - few commands need it

    if output.exists() and not output.is_file():  # /dev/stdout
        output.write_text(text, encoding="utf-8")
    else:
        write_atomically(output, text)
