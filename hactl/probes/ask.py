"""Asking a health probe once, whatever its kind."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Mapping

from hactl.linux.errors import OperationError
from hactl.model.probes import CommandCheck, HealthProbe, HttpCheck, SqlCheck, TcpCheck
from hactl.probes import command, http, tcp
from hactl.probes.outcome import ProbeOutcome
from hactl.supervise import describe, lacks


async def ask(probe: HealthProbe, *, host: str = "127.0.0.1", env: Mapping[str, str] | None = None) -> ProbeOutcome:
    """Ask once; an answer that does not come in time is a bad one. `host`: where the probe itself names none. `env`:
    the variables of commands. Nothing is left open or running. Raises OSError and MemoryError where this machine has
    run out of something: that says nothing of who was asked."""
    began, timeout_s = time.monotonic(), probe.rhythm.timeout_ms / 1000
    try:
        async with asyncio.timeout(timeout_s):
            ok, words = True, await _ask(probe, host, env or {}, timeout_s)
    except TimeoutError:
        ok, words = False, f"no answer within {timeout_s:g} s"
    except ssl.SSLCertVerificationError as error:
        ok, words = False, f"the certificate is not valid: {error.verify_message}"
    except (OSError, OperationError, ssl.SSLError) as error:
        if lacks(error):
            raise
        ok, words = False, _reason(error)
    return ProbeOutcome(ok, f"{probe.check.words()}: {words}", time.monotonic() - began)


async def _ask(probe: HealthProbe, host: str, env: Mapping[str, str], timeout_s: float) -> str:
    match probe.check:
        case TcpCheck() as check:
            return await tcp.ask(check, check.host or host)
        case HttpCheck() as check:
            return await http.ask(check)
        case SqlCheck() as check:
            return await command.ask_sql(check, check.host or host, timeout_s)
        case CommandCheck() as check:
            return await command.ask_command(check, env, timeout_s)


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return f"no TLS: {(error.reason or str(error)).replace('_', ' ').lower()}"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)  # asyncio's own words name the address once more
    return str(error) if isinstance(error, OperationError) else describe(error)
