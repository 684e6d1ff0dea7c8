"""What a body in one-byte chunks costs: CPU per byte, and how long a neighbour in the same event loop waits meanwhile.

    uv run --group dev python tools/bench/one_byte_chunks.py [--bytes 300000] [--repeats 3]

Roads: `streamwarm` is the service's HTTP client; `h11` is h11's plain event loop over trio's stream, which is what
clients do that build on h11. Each run is a process of its own, in turn; medians are shown. The server is a process too.
It sends the chunks `together` (64 KiB per write) or each `alone` (a write and a TCP segment per chunk).

The neighbour answers one line as `/healthz` does, without any work. It is asked every 20 ms from outside.
"""

from __future__ import annotations

import argparse
import json
import platform
import socket
import statistics
import subprocess
import sys
import threading
import time
from typing import Any

import h11
import trio

from streamwarm.net.pool import open_client

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
ROADS, WAYS = ("streamwarm", "h11"), ("together", "alone")
TOGETHER_BYTES = 64 * 1024
ASK_EVERY_S = 0.02


def serve(listener: socket.socket) -> None:
    """Answer `GET /<way>/<bytes>`, one connection each, one after another."""
    while True:
        client, _ = listener.accept()
        with client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, way, size = client.recv(65536).split(b" ")[1].decode().split("/")
            chunks = [b"1\r\n%c\r\n" % (number % 256) for number in range(int(size))] + [b"0\r\n\r\n"]
            if way == "together":
                wire = b"".join(chunks)
                chunks = [wire[at : at + TOGETHER_BYTES] for at in range(0, len(wire), TOGETHER_BYTES)]
            client.sendall(HEAD)
            for chunk in chunks:
                client.sendall(chunk)


async def read_by_streamwarm(port: int, path: str) -> int:
    count = 0
    async with open_client() as client, client.stream("GET", f"http://127.0.0.1:{port}{path}") as response:
        async for piece in response.aiter_raw():
            count += len(piece)
    return count


async def read_by_h11(port: int, path: str) -> int:
    connection, count = h11.Connection(h11.CLIENT), 0
    asked = connection.send(h11.Request(method="GET", target=path, headers=[("Host", "a")])) or b""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(asked + (connection.send(h11.EndOfMessage()) or b""))
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.receive_some(256 * 1024))
            elif isinstance(event, h11.Data):
                count += len(event.data)
    return count


async def answer(stream: trio.SocketStream) -> None:
    async with stream:
        await stream.receive_some()
        await stream.send_all(b"ok\n")


async def measured(road: str, port: int, way: str, size: int) -> None:
    """One run: read the body with a neighbour beside it, and print what it cost."""
    read = read_by_streamwarm if road == "streamwarm" else read_by_h11
    async with trio.open_nursery() as nursery:
        neighbour = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        nursery.start_soon(trio.serve_listeners, answer, [neighbour])
        print(neighbour.socket.getsockname()[1], flush=True)
        await trio.sleep(5 * ASK_EVERY_S)
        began, cpu_began = time.perf_counter(), time.process_time()
        count = await read(port, f"/{way}/{size}")
        taken = {"elapsed_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu_began}
        if count != size:
            raise RuntimeError(f"{road} read {count} bytes of {size}")
        await trio.sleep(5 * ASK_EVERY_S)
        nursery.cancel_scope.cancel()
    print(json.dumps(taken), flush=True)


def ask(port: int) -> float:
    """Seconds until the neighbour has answered."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as neighbour:
        neighbour.sendall(b"?")
        neighbour.recv(16)
    return time.perf_counter() - began


def run(road: str, port: int, way: str, size: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--run", road, str(port), way, str(size)]
    slowest_s = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        neighbour = int(process.stdout.readline())
        try:
            while process.poll() is None:
                slowest_s = max(slowest_s, ask(neighbour))
                time.sleep(ASK_EVERY_S)
        except OSError:
            pass  # it has ended
        taken = json.loads(process.stdout.readline())
    return {
        "CPU-µs a byte": taken["cpu_s"] / size * 1e6,
        "seconds": taken["elapsed_s"],
        "neighbour's slowest answer, s": slowest_s,
    }


def table(results: dict[tuple[str, str], list[dict[str, float]]]) -> None:
    names = list(next(iter(results.values()))[0])
    print(f"\n{platform.machine()}, Python {platform.python_version()}\n")
    print(f"| chunks sent | client | {' | '.join(names)} |\n|---|---|{'---:|' * len(names)}")
    for (way, road), runs in results.items():
        medians = (statistics.median(one[name] for one in runs) for name in names)
        print(f"| {way} | {road} | {' | '.join(f'{value:.2f}' for value in medians)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=300_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--run", nargs=4, metavar=("ROAD", "PORT", "WAY", "BYTES"), help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given: Any = parser.parse_args()
    if given.run:
        road, port, way, size = given.run
        trio.run(measured, road, int(port), way, int(size))
        return
    if given.serve:
        listener = socket.create_server(("127.0.0.1", 0))
        print(listener.getsockname()[1], flush=True)
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        sys.stdin.read()
        return
    server = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(server, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        port = int(process.stdout.readline())
        results: dict[tuple[str, str], list[dict[str, float]]] = {(way, road): [] for way in WAYS for road in ROADS}
        for _ in range(given.repeats):
            for (way, road), runs in results.items():
                runs.append(run(road, port, way, given.bytes))
        process.stdin.close()
    table(results)


if __name__ == "__main__":
    main()
