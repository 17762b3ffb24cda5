"""A bound on a server's open connections, which Tornado has none of."""

import asyncio
import time
from collections import Counter
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

MAX_CONNECTIONS = 512
SPARE = 128  # files that this process may open beside its connections
LIFE = 180.0  # seconds


class BoundedServer(HTTPServer):
    """So many connections and no more: a new one takes the place of the oldest, of the address that has most.

    A class may well share one address, behind a router, with somebody who holds connections open; no number bounds an
    address, then, that would not shut out a class. Whoever asks and listens has gone long before a connection is the
    oldest; whoever is cut off all the same asks again, as the page does by itself, and an answer is stored once.
    """

    def initialize(self, *args: Any, **options: Any) -> None:
        super().initialize(*args, **options)
        self.most, self.streams = most_connections(), {}

    def handle_stream(self, stream: IOStream, address: tuple) -> None:
        self.streams = {known: of for known, of in self.streams.items() if not known.closed()}
        if len(self.streams) >= self.most:
            (most, _), *_ = Counter(host for host, _ in self.streams.values()).most_common(1)
            oldest = next(known for known, (host, _) in self.streams.items() if host == most)
            del self.streams[oldest]
            oldest.close()
        self.streams[stream] = address[0], time.monotonic()
        super().handle_stream(stream, address)

    def close_old(self, life: float = LIFE) -> None:
        """Close connections that have been open for longer than ``life``, in seconds."""
        for stream, (_, since) in self.streams.items():
            if time.monotonic() - since > life:
                stream.close()

    async def drain(self, seconds: float) -> None:
        """Wait for open connections to be done, for so long, and close the others."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not all(stream.closed() for stream in self.streams):
            await asyncio.sleep(0.01)
        self.close_old(life=-1)


def most_connections() -> int:
    """How many connections this process may hold open: ``MAX_CONNECTIONS``, where it may open as many files."""
    try:
        import resource
    except ImportError:  # Windows
        return MAX_CONNECTIONS
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MAX_CONNECTIONS if files == resource.RLIM_INFINITY else max(1, min(MAX_CONNECTIONS, files - SPARE))
