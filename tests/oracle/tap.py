"""A TCP proxy that notes which APIs pass through it, so that a test's needs are measured and not guessed.

The broker behind it must advertise the proxy's address, or clients would go around it after their first Metadata reply.
"""

import asyncio
import struct
import threading

import wire


class Tap:
    """Forwards `listen` (HOST:PORT) to `target` (HOST:PORT) in a thread of its own until `stop`."""

    def __init__(self, listen, target):
        self.listen = listen
        self.target = target
        self.names = {key: name for name, key in wire.api_keys().items()}
        self.lock = threading.Lock()
        self.seen = {}
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        if not self.ready.wait(10):
            raise RuntimeError(f"the tap cannot listen on {listen}")

    def take(self):
        """The APIs seen since the last call, as {name: highest version}."""
        with self.lock:
            seen, self.seen = self.seen, {}
        return seen

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def _run(self):
        asyncio.set_event_loop(self.loop)
        host, port = self.listen.rsplit(":", 1)
        self.loop.run_until_complete(asyncio.start_server(self._serve, host, int(port)))
        self.ready.set()
        self.loop.run_forever()

    async def _serve(self, client_reader, client_writer):
        host, port = self.target.rsplit(":", 1)
        try:
            broker_reader, broker_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            client_writer.close()
            return
        await asyncio.gather(self._requests(client_reader, broker_writer), self._replies(broker_reader, client_writer))

    async def _requests(self, reader, writer):
        try:
            while True:
                size = await reader.readexactly(4)
                frame = await reader.readexactly(struct.unpack(">i", size)[0])
                key, version = struct.unpack(">hh", frame[:4])
                name = self.names.get(key, f"api {key}")
                with self.lock:
                    self.seen[name] = max(self.seen.get(name, 0), version)
                writer.write(size + frame)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _replies(self, reader, writer):
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()
