#!/usr/bin/env python3
"""A TCP proxy that notes which APIs pass through it, so that a test's needs are measured and not guessed.

  tests/oracle/tap.py LISTEN TARGET [--narrow]      forward LISTEN (HOST:PORT) to TARGET until killed

With `--narrow` the broker behind it looks like one that has no groups, transactions or ACLs: the other APIs are gone from its
ApiVersions reply, and a connection that asks for one of them is closed. A test that passes against Apache Kafka and fails against
narrowed Apache Kafka needs what was taken away. FindCoordinator stays and always answers COORDINATOR_NOT_AVAILABLE: librdkafka takes
its presence as the sign that a broker knows lz4, and silently sends uncompressed batches to one that lacks it.

The broker must advertise the proxy's address, or clients would go around the proxy after their first Metadata reply.
"""

import argparse
import asyncio
import struct
import threading

import wire

# What a single-node broker without groups, transactions and access control serves.
NARROW = {
    "Produce", "Fetch", "ListOffsets", "Metadata", "ApiVersions", "CreateTopics", "DeleteTopics", "DeleteRecords", "InitProducerId",
    "OffsetForLeaderEpoch", "DescribeConfigs", "AlterConfigs", "DescribeLogDirs", "CreatePartitions", "IncrementalAlterConfigs",
    "DescribeCluster", "DescribeTopicPartitions", "FindCoordinator",
}  # fmt: skip
API_VERSIONS = 18
FIND_COORDINATOR = 10
COORDINATOR_NOT_AVAILABLE = 15


class Tap:
    """Forwards `listen` (HOST:PORT) to `target` (HOST:PORT) in a thread of its own until `stop`."""

    def __init__(self, listen, target, narrow=False):
        self.listen = listen
        self.target = target
        self.names = {key: name for name, key in wire.api_keys().items()}
        self.hidden = {key for key, name in self.names.items() if name not in NARROW} if narrow else set()
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
        self.loop.run_until_complete(asyncio.start_server(self._serve, host, int(port), limit=1 << 20))
        self.ready.set()
        self.loop.run_forever()

    async def _serve(self, client_reader, client_writer):
        host, port = self.target.rsplit(":", 1)
        try:
            broker_reader, broker_writer = await asyncio.open_connection(host, int(port), limit=1 << 20)
        except OSError:
            client_writer.close()
            return
        # Correlation id -> (api key, version) of the requests whose replies are still to be rewritten.
        asked = {}
        await asyncio.gather(
            self._requests(client_reader, broker_writer, asked), self._replies(broker_reader, client_writer, asked)
        )

    async def _requests(self, reader, writer, asked):
        try:
            while True:
                size = await reader.readexactly(4)
                frame = await reader.readexactly(struct.unpack(">i", size)[0])
                key, version, correlation_id = struct.unpack(">hhi", frame[:8])
                name = self.names.get(key, f"api {key}")
                with self.lock:
                    self.seen[name] = max(self.seen.get(name, 0), version)
                if key in self.hidden:
                    return
                if key in (API_VERSIONS, FIND_COORDINATOR) and self.hidden:
                    asked[correlation_id] = (key, version)
                writer.write(size + frame)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _replies(self, reader, writer, asked):
        try:
            while True:
                size = await reader.readexactly(4)
                frame = await reader.readexactly(struct.unpack(">i", size)[0])
                (correlation_id,) = struct.unpack(">i", frame[:4])
                if correlation_id in asked:
                    key, version = asked.pop(correlation_id)
                    rewrite = self._narrowed if key == API_VERSIONS else self._without_coordinator
                    frame = frame[:4] + rewrite(frame[4:], version)
                    size = struct.pack(">i", len(frame))
                writer.write(size + frame)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _narrowed(self, body, version):
        (error,) = struct.unpack(">h", body[:2])
        # An unknown version is answered in the shape of version 0.
        version = 0 if error == 35 else version
        reply = wire.decode("ApiVersionsResponse", version, body)
        reply["ApiKeys"] = [key for key in reply["ApiKeys"] if key["ApiKey"] not in self.hidden]
        for features in ("SupportedFeatures", "FinalizedFeatures"):
            if features in reply:
                reply[features] = [feature for feature in reply[features] if feature["Name"] == "metadata.version"]
        return wire.encode("ApiVersionsResponse", version, reply)

    def _without_coordinator(self, body, version):
        header = b"\0" if wire.is_flexible("FindCoordinatorResponse", version) else b""
        reply = wire.decode("FindCoordinatorResponse", version, body[len(header) :])
        nowhere = {"ErrorCode": COORDINATOR_NOT_AVAILABLE, "NodeId": -1, "Host": "", "Port": -1}
        if "Coordinators" in reply:
            for coordinator in reply["Coordinators"]:
                coordinator.update(nowhere)
        else:
            reply.update(nowhere)
        return header + wire.encode("FindCoordinatorResponse", version, reply)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("listen")
    parser.add_argument("target")
    parser.add_argument("--narrow", action="store_true")
    arguments = parser.parse_args()
    Tap(arguments.listen, arguments.target, arguments.narrow).thread.join()


if __name__ == "__main__":
    main()
