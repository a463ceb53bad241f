"""The probes `command` and `sql`: a program that ends with status 0 while all is well.

A database is asked by its own client, which knows its versions and its ways to log in. The password goes to it in its
environment, which root alone can read.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence

from fencing.agents.secret_sources import SecretError, read_secret
from hactl.linux.aside import aside
from hactl.linux.run import run, service_environment
from hactl.model.probes import SQL_PORTS, CommandCheck, SqlCheck
from hactl.probes.outcome import ProbeError, check_found, shown

CLIENTS = {"mysql": ("mariadb", "mysql"), "postgresql": ("psql",)}
_PASSWORD = {"mysql": "MYSQL_PWD", "postgresql": "PGPASSWORD"}


async def ask_command(check: CommandCheck, env: Mapping[str, str], timeout_s: float) -> str:
    """Run it once, and say how it ended. Raises ProbeError, OperationError."""
    return (await _run(check.command, env, timeout_s)) and "ended with status 0"


async def ask_sql(check: SqlCheck, host: str, timeout_s: float) -> str:
    """Ask once, and say what came. Raises ProbeError, OperationError."""
    client = next((program for program in CLIENTS[check.kind] if shutil.which(program)), "")
    if not client:
        wanted = " or ".join(CLIENTS[check.kind])
        raise ProbeError(f"this node has no program {wanted}: install the client of the database")
    env = {}
    if check.password_file is not None:
        try:
            env[_PASSWORD[check.kind]] = await aside(check.password_file, read_secret, check.password_file)
        except SecretError as error:
            raise ProbeError(str(error)) from None
    arguments = _mysql(check, host) if check.kind == "mysql" else _psql(check, host)
    answer = (await _run([client, *arguments], env, timeout_s)).strip().encode()
    if check.expect is not None:
        check_found(check.expect, answer, "the answer")
    return f"answered {shown(answer)}"


async def _run(argv: Sequence[str], env: Mapping[str, str], timeout_s: float) -> str:
    """The output. The end of its time is told by the caller, a little later."""
    done = await run(argv, timeout_s=timeout_s, env=service_environment(dict(env)), leaves=False)
    if not done.ok:
        raise ProbeError(done.describe())
    return done.stdout or " "


def _mysql(check: SqlCheck, host: str) -> list[str]:
    place = [f"--host={host}", f"--port={check.port or SQL_PORTS['mysql']}", "--protocol=tcp"]
    if check.socket is not None:
        place = [f"--socket={check.socket}", "--protocol=socket"]
    user = [f"--user={check.user}"] if check.user else []
    database = [f"--database={check.database}"] if check.database else []
    # Without the files of the user whom the daemon runs as: what counts stands in the configuration.
    return ["--no-defaults", *place, *user, *database, "--batch", "--skip-column-names", "--execute", check.query]


def _psql(check: SqlCheck, host: str) -> list[str]:
    place = [f"--host={check.socket or host}", f"--port={check.port or SQL_PORTS['postgresql']}"]
    user = [f"--username={check.user}"] if check.user else []
    quiet = ["--no-psqlrc", "--no-password", "--tuples-only", "--no-align"]
    return [*quiet, *place, *user, f"--dbname={check.database or 'postgres'}", "--command", check.query]
