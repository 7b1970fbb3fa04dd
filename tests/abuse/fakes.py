#!/usr/bin/env python3.11
"""Brokers that are broken on purpose: a proxy in front of the real one, with one fault. They show that the rig can fail.

Started like the broker, with the fault and the real binary in the environment."""

import ctypes
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

FAULT, REAL = os.environ["ABUSE_FAULT"], os.environ["ABUSE_REAL"]
LIMIT = 100 << 20
HOARD = []


def log(text):
    sys.stderr.write("WARN %s\n" % text)
    sys.stderr.flush()


def take(source, count):
    out = bytearray()
    while len(out) < count:
        piece = source.recv(min(count - len(out), 1 << 20))
        if not piece:
            return None
        out += piece
    return bytes(out)


def goodbye(client, peer):
    if FAULT != "mute":
        log("closing connection peer=%s" % peer)
    if FAULT == "keep-open":
        HOARD.append(client)
        return
    try:
        client.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    client.close()


def replies(upstream, client, peer, asked):
    try:
        while True:
            prefix = take(upstream, 4)
            if prefix is None:
                break
            reply = bytearray(take(upstream, struct.unpack(">i", prefix)[0]) or b"")
            correlation = bytes(reply[:4])
            if FAULT == "server-error" and asked.pop(correlation, None) == (0, 7):
                # Produce v7: the error code of the first partition becomes -1, unless it is 0.
                at = 4 + 4 + 2 + struct.unpack(">h", reply[8:10])[0] + 4 + 4
                if reply[at:at + 2] != b"\0\0":
                    reply[at:at + 2] = b"\xff\xff"
            client.sendall(prefix + reply)
    except (OSError, TypeError):
        pass
    goodbye(client, peer)


def serve(client, address, port):
    peer = "%s:%d" % address
    upstream = socket.create_connection(("127.0.0.1", port))
    asked = {}
    threading.Thread(target=replies, args=(upstream, client, peer, asked), daemon=True).start()
    try:
        while True:
            prefix = take(client, 4)
            if prefix is None:
                break
            length = struct.unpack(">i", prefix)[0]
            if FAULT == "crash" and length < 0:
                os._exit(134)
            if FAULT == "panic" and length < 0:
                log("thread 'shard-0' panicked at src/wire/frame.rs:1:1")
            if FAULT == "long-turn" and length < 0:
                log("a long turn cpu_us=50001 last=Accept")
            if FAULT == "greedy" and 0 < length <= LIMIT:
                HOARD.append(bytearray(b"x") * length)
            if length < 10 or length > LIMIT:
                break
            payload = take(client, length)
            if payload is None:
                break
            if FAULT == "raw-log":
                size = struct.unpack(">h", payload[8:10])[0]
                if size > 0:
                    sys.stderr.buffer.write(b"INFO client " + payload[10:10 + size] + b"\n")
            if FAULT == "stall" and payload[:2] == b"\x7f\xff":
                # Every connection hangs from now on.
                STALL.set()
            while STALL.is_set():
                time.sleep(0.1)
            asked[payload[4:8]] = struct.unpack(">hh", payload[:4])
            upstream.sendall(prefix + payload)
    except OSError:
        pass
    upstream.close()
    goodbye(client, peer)


STALL = threading.Event()


def echo(client):
    while True:
        try:
            data = client.recv(65536)
            if not data:
                return
            client.sendall(data)
        except OSError:
            return


def main():
    arguments = sys.argv[1:]
    at = arguments.index("--listen") + 1
    host, port = arguments[at].split(":")
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if FAULT != "echo":
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            inner = probe.getsockname()[1]
        arguments[at] = "127.0.0.1:%d" % inner
        # Dies with the fake, however that ends.
        child = subprocess.Popen([REAL] + arguments, preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGTERM))

        def stop(*_):
            child.terminate()
            os._exit(child.wait())
        signal.signal(signal.SIGTERM, stop)
        while True:
            try:
                socket.create_connection(("127.0.0.1", inner)).close()
                break
            except OSError:
                time.sleep(0.02)
    listener.bind((host, int(port)))
    listener.listen(1000)
    while True:
        client, address = listener.accept()
        if FAULT == "echo":
            threading.Thread(target=echo, args=(client,), daemon=True).start()
        else:
            threading.Thread(target=serve, args=(client, address, inner), daemon=True).start()


main()
