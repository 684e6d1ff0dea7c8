"""Load generator: many websocket clients push jobs against a running service, or with --sandbox one of its own.

    uv run --group loadgen tools/loadgen.py --sandbox [--jobs N --clients N --rate R --mix M …] [--json] [--html FILE]

docs/load.md says how to use it. The parts are in `tools/load/`.
"""

from load.cli import main

if __name__ == "__main__":
    main()
