"""Peers that our own programs cannot be: raw TCP, and ZMTP 3.1 by hand. Standard library only."""

import resource
import selectors
import socket
import struct
import threading
import time

GREETING_BYTES = 64


def room_for_sockets(count):
    """Raises this process's own limit of descriptors; how many sockets it may have, at most count."""
    spare = 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + spare
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(count, soft - spare)


class Flood:
    """Connections that say nothing, held open; one that the other side closes is dialled again."""

    PER_TURN = 50  # dialled at once, so that the queue of the listener does not overflow

    def __init__(self, host, port, count):
        self.address = (host, port)
        self.count = count
        self.open = 0  # now
        self.most = 0  # at once
        self.dialled = 0
        self.closed = 0  # by the other side
        self.refused = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _dial(self, selector):
        connection = socket.socket()
        connection.settimeout(5)
        try:
            connection.connect(self.address)
        except OSError:
            connection.close()
            self.refused += 1
            return
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ)
        self.dialled += 1
        self.open += 1
        self.most = max(self.most, self.open)

    def _hear(self, selector, connection):
        try:
            if connection.recv(4096):
                return  # the greeting: it is not answered
        except BlockingIOError:
            return
        except OSError:
            pass
        selector.unregister(connection)
        connection.close()
        self.open -= 1
        self.closed += 1

    def _run(self):
        with selectors.DefaultSelector() as selector:
            while not self._stop.is_set():
                for _ in range(min(self.PER_TURN, self.count - self.open)):
                    self._dial(selector)
                for key, _ in selector.select(0.02):
                    self._hear(selector, key.fileobj)
            for key in list(selector.get_map().values()):
                key.fileobj.close()

    def end(self):
        self._stop.set()
        self._thread.join()


def greeting(mechanism=b"NULL"):
    return b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01" + mechanism.ljust(20, b"\0") + bytes(32)


def frame(body, command=False, more=False):
    flags = (4 if command else 0) | (1 if more else 0)
    if len(body) > 255:
        return struct.pack(">BQ", flags | 2, len(body)) + body
    return struct.pack(">BB", flags, len(body)) + body


def ready(socket_type=b"DEALER"):
    metadata = b"\x0bSocket-Type" + struct.pack(">I", len(socket_type)) + socket_type
    metadata += b"\x08Identity" + struct.pack(">I", 0)
    return frame(b"\x05READY" + metadata, command=True)


class RawPeer:
    """One TCP connection."""

    def __init__(self, host, port):
        self.connection = socket.create_connection((host, port), timeout=5)
        self.heard = b""

    def say(self, *parts):
        """False when the other side has gone."""
        try:
            self.connection.sendall(b"".join(parts))
            return True
        except OSError:
            return False

    def hear(self, seconds):
        """Takes what comes for so long; whether the connection is still there."""
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            if left <= 0:
                return True
            self.connection.settimeout(left)
            try:
                data = self.connection.recv(65536)
            except TimeoutError:
                return True
            except OSError:
                return False
            if not data:
                return False
            self.heard += data

    def shake_hands(self):
        """With mechanism NULL. libzmq throws out who sends more before it has answered."""
        self.say(greeting(), ready())
        until = time.monotonic() + 5
        while b"\x05READY" not in self.heard:
            if not self.hear(0.01) or time.monotonic() > until:
                return False
        return True

    def frames(self):
        """(is_command, body) of all whole frames heard after the greeting."""
        found = []
        rest = self.heard[GREETING_BYTES:]
        while len(rest) >= 2:
            flags, size, head = rest[0], rest[1], 2
            if flags & 2:
                if len(rest) < 9:
                    break
                size, head = struct.unpack(">Q", rest[1:9])[0], 9
            if len(rest) < head + size:
                break
            found.append((bool(flags & 4), rest[head:head + size]))
            rest = rest[head + size:]
        return found

    def messages(self):
        return [body for command, body in self.frames() if not command]

    def close(self):
        self.connection.close()
