"""A stand-in for a kubelet: `python kubelet.py DIRECTORY PORT START_S STOP_S [PROGRAM]`.

It does what the tests need of one: it watches a directory, overlooks names that begin with a dot, runs a process for
the pod of each file, and ends it `STOP_S` after the file is gone; `/pods` at 127.0.0.1:PORT lists the pods with their
phase.
Unlike a kubelet it lists a pod until its process has ended, unless KUBELET_FORGETS is set.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from hactl.resources.pods.document import NoPodError, pod_of

NODE = "n1"


class Kubelet:
    def __init__(self, directory: Path, start_s: float, stop_s: float, program: str) -> None:
        self.directory, self.start_s, self.stop_s, self.program = directory, start_s, stop_s, program
        self.pods: dict[str, dict[str, Any]] = {}
        self.lock = threading.Lock()

    def look(self) -> None:
        wanted = set()
        for path in self.directory.iterdir() if self.directory.is_dir() else ():
            if not path.name.startswith("."):
                try:
                    wanted.add(pod_of(path.read_bytes()).name)
                except (NoPodError, OSError):
                    continue
        now = time.monotonic()
        with self.lock:
            for name in wanted:
                self.pods.setdefault(name, {"at": now + self.start_s, "process": None, "until": None})
            for name, pod in list(self.pods.items()):
                self._step(name, pod, name in wanted, now)

    def _step(self, name: str, pod: dict[str, Any], wanted: bool, now: float) -> None:
        if wanted and pod["process"] is None and now >= pod["at"]:
            pod["process"] = subprocess.Popen([name, "1000000"], executable=self.program)
        if wanted and pod["process"] is not None and pod["process"].poll() is not None:
            pod.update(process=None, at=now + self.start_s)  # as restartPolicy: Always
        if wanted:
            pod["until"] = None
        elif pod["until"] is None:
            pod["until"] = now + self.stop_s
        ended = pod["process"] is None or pod["process"].poll() is not None
        if not wanted and (ended or now >= pod["until"]):
            if pod["process"] is not None:
                pod["process"].kill()
                pod["process"].wait()
            del self.pods[name]

    def listed(self) -> list[dict[str, Any]]:
        with self.lock:
            return [
                {
                    "metadata": {"name": f"{name}-{NODE}", "annotations": {"kubernetes.io/config.source": "file"}},
                    "status": {"phase": "Running" if pod["process"] is not None else "Pending"},
                }
                for name, pod in self.pods.items()
                if pod["until"] is None or "KUBELET_FORGETS" not in os.environ
            ]


def main(directory: str, port: str, start_s: str, stop_s: str, program: str = "/bin/sleep") -> None:
    kubelet = Kubelet(Path(directory), float(start_s), float(stop_s), program)

    class Pods(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"kind": "PodList", "items": kubelet.listed()}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    threading.Thread(target=ThreadingHTTPServer(("127.0.0.1", int(port)), Pods).serve_forever, daemon=True).start()
    while True:
        kubelet.look()
        time.sleep(0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
