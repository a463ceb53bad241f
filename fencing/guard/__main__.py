"""`python -m fencing.guard`: the program `hactl-guard`."""

from __future__ import annotations

from fencing.guard.program import main

if __name__ == "__main__":
    raise SystemExit(main())
