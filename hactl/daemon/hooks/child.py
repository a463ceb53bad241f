"""Delivers one event to one hook, in a process of its own: `python -I -S child.py`, the standard library alone.

The daemon is root, and decides. So it speaks to no receiver: this process does. It begins as root, reads the files that
the hook names (which root alone may read, and whose disk may hang), and becomes the hook's user before it runs the
command or connects. It never imports hactl: nothing of hactl need be readable for that user.

On standard input a request (see `Request` in delivery.py), on standard output `{"ok": …, "again": …, "detail": …}`;
`again`: another try may succeed.
"""

from __future__ import annotations

import contextlib
import encodings.idna  # noqa: F401 - that a host's name needs, and that cannot be read once this is another user
import http.client
import json
import os
import pwd
import resource
import select
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

# Less than the daemon and all that it started.
NICENESS = 10
# Of a command's output the end is kept, of an answer the beginning.
KEPT = 500
# The largest URL or token in a file.
LARGEST = 4096


class Failed(Exception):  # noqa: N818 - it is an answer
    """Not delivered. `again`: another try may succeed."""

    def __init__(self, detail: str, *, again: bool = True) -> None:
        super().__init__(detail)
        self.again = again


def main() -> None:
    """Deliver, and say how it went."""
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    request = json.load(sys.stdin)
    try:
        detail = deliver(request)
        answer = {"ok": True, "again": False, "detail": detail}
    except Failed as error:
        answer = {"ok": False, "again": error.again, "detail": str(error)}
    sys.stdout.write(json.dumps(answer))


def deliver(request: dict[str, Any]) -> str:
    """Deliver; the receiver's words. Raises Failed."""
    webhook = request["webhook"]
    if webhook is None:
        home = become(request["user"])
        return run(request["command"], request["event"], {**home, **request["environment"]}, request["timeout_s"])
    url = secret(webhook["url_file"]) if webhook["url_file"] else webhook["url"]
    token = secret(webhook["token_file"]) if webhook["token_file"] else ""
    context = trust(webhook["ca"]) if url.startswith("https://") else None
    become(request["user"])
    return post(url, context, token, request["event"], request["timeout_s"])


def secret(path: str) -> str:
    """The one line in a file that others may not read. Raises Failed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            others = os.fstat(descriptor).st_mode & 0o077
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}") from None
    text = content.decode(errors="replace").strip()
    if others:
        raise Failed(f"others may read {path}: `chmod 600 {path}`")
    if not text or len(content) > LARGEST or not text.isascii() or not text.isprintable():
        raise Failed(f"{path} is not one line of printable characters")
    return text


def trust(ca: str) -> ssl.SSLContext:
    """Certificates of the system's authorities, or of the ones in `ca`. Raises Failed."""
    try:
        return ssl.create_default_context(cafile=ca or None)
    except (OSError, ssl.SSLError) as error:
        raise Failed(f"the authority's certificate {ca} cannot be used: {error.strerror or error}") from None


def become(user: str) -> dict[str, str]:
    """Become that user, for good; its variables. Raises Failed."""
    try:
        entry = pwd.getpwnam(user)
        if os.geteuid() == 0 and entry.pw_uid != 0:
            os.initgroups(entry.pw_name, entry.pw_gid)
            os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
            os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    except KeyError:
        raise Failed(f"there is no user `{user}` on this node") from None
    except OSError as error:
        raise Failed(f"cannot become the user `{user}`: {error.strerror}") from None
    return {"USER": entry.pw_name, "LOGNAME": entry.pw_name, "HOME": entry.pw_dir}


def run(argv: Sequence[str], event: str, variables: Mapping[str, str], timeout_s: float) -> str:
    """Run the command with the event as its input; the last line of its output. Raises Failed."""
    with os.fdopen(os.memfd_create("event"), "w+b") as file:
        file.write(event.encode())
        file.seek(0)
        try:
            process = subprocess.Popen(
                argv, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                env={**os.environ, **variables}, cwd="/", start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            raise Failed(f"cannot start {argv[0]}: {getattr(error, 'strerror', None) or error}") from None
    said, ended = watched(process, timeout_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    status = process.wait()
    words = (said.decode(errors="replace").strip().rpartition("\n")[2])[-KEPT:]
    if not ended:
        raise Failed(f"{argv[0]} did not end within {timeout_s:g} s and was killed")
    if status:
        how = f"was killed by signal {-status}" if status < 0 else f"ended with exit status {status}"
        raise Failed(f"{argv[0]} {how}" + (f": {words}" if words else ""))
    return words


def watched(process: subprocess.Popen[bytes], timeout_s: float) -> tuple[bytes, bool]:
    """The end of its output, and whether it ended in time. Its output is read until it ends, not until nobody has it
    open: it may leave a process behind."""
    assert process.stdout is not None
    pipe, until, said = process.stdout.fileno(), time.monotonic() + timeout_s, b""
    os.set_blocking(pipe, False)
    pidfd = os.pidfd_open(process.pid)
    watching = [pidfd, pipe]
    while (left := until - time.monotonic()) > 0:
        ready, _, _ = select.select(watching, (), (), left)
        if pipe in ready:
            chunk = os.read(pipe, 65536)
            said = (said + chunk)[-4 * KEPT :]
            if not chunk:
                watching.remove(pipe)
        elif pidfd in ready:
            return said, True
    return said, False


def post(url: str, context: ssl.SSLContext | None, token: str, event: str, timeout_s: float) -> str:
    """Send the event; the status of the answer. All of it takes `timeout_s` at most. Raises Failed."""
    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    headers = {"Content-Type": "application/json", "User-Agent": "hactl", "Connection": "close"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        status, words = exchange(url, context, headers, event.encode(), timeout_s)
    except TimeoutError:
        raise Failed(f"no answer within {timeout_s:g} s") from None
    except ssl.SSLCertVerificationError as error:
        raise Failed(f"its certificate is not trusted: {error.verify_message}") from None
    except (OSError, http.client.HTTPException) as error:
        raise Failed(getattr(error, "strerror", None) or f"{type(error).__name__}: {error}") from None
    except ValueError:
        raise Failed("the URL is not one", again=False) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if not 200 <= status < 300:
        more = f": {words}" if words else ""
        where = ": redirects are not followed" if 300 <= status < 400 else more
        raise Failed(f"status {status}{where}", again=status >= 500 or status in (408, 425, 429))
    return f"status {status}"


def exchange(
    url: str, context: ssl.SSLContext | None, headers: Mapping[str, str], body: bytes, timeout_s: float
) -> tuple[int, str]:
    """Status and first line of the answer. A proxy in the environment is not used."""
    parts = urlsplit(url)
    place = (parts.hostname or "", parts.port)
    if context is None:
        connection = http.client.HTTPConnection(*place, timeout=timeout_s)
    else:
        connection = http.client.HTTPSConnection(*place, timeout=timeout_s, context=context)
    with contextlib.closing(connection):
        connection.request("POST", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, headers)
        answer = connection.getresponse()
        if 200 <= answer.status < 300:
            return answer.status, ""
        return answer.status, answer.read(KEPT).decode(errors="replace").strip().partition("\n")[0]


def give_up(_signal: int, _frame: object) -> None:
    """The time is over, whatever is waited for."""
    raise TimeoutError


if __name__ == "__main__":
    main()
