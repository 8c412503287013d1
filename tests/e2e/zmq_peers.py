"""Peers with keys that say what they should not: ZeroMQ by ctypes, messages by hand."""

import ctypes
import ctypes.util
import os
import struct
import time

DEALER, SUB = 5, 2
LINGER, SUBSCRIBE, MAXMSGSIZE = 17, 6, 22
CURVE_PUBLICKEY, CURVE_SECRETKEY, CURVE_SERVERKEY = 48, 49, 50
DONTWAIT = 1
KIND_HELLO, KIND_WELCOME, KIND_REJECT, KIND_SEGMENT, KIND_ACK, KIND_SET = 1, 2, 3, 4, 5, 12
PROTOCOL_VERSION = 3
FRAME_BYTES_MAX = 1 << 20
# What the slow environment is, with the given step limit.
SLOW_SPEC = ("test_slow_env", 3, 2, [-1.0, 0.1], [3.0, 0.7])

_zmq = ctypes.CDLL(ctypes.util.find_library("zmq") or "libzmq.so.5", use_errno=True)
_zmq.zmq_ctx_new.restype = ctypes.c_void_p
_zmq.zmq_socket.restype = ctypes.c_void_p
_zmq.zmq_socket.argtypes = [ctypes.c_void_p, ctypes.c_int]
_zmq.zmq_setsockopt.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]
_zmq.zmq_connect.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
_zmq.zmq_send.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
_zmq.zmq_recv.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_zmq.zmq_close.argtypes = [ctypes.c_void_p]
_context = ctypes.c_void_p(_zmq.zmq_ctx_new())


def key_of(path, word):
    """The value of a line of a key file."""
    with open(path, encoding="ascii") as file:
        for line in file:
            if line.startswith(word + " "):
                return line.split()[1].encode()
    raise ValueError(f"{path}: no {word}")


class Peer:
    """A socket that connects. `own` is the path of a secret key, `learner` of a public one."""

    def __init__(self, kind, endpoint, own=None, learner=None, subscribe=()):
        self.socket = ctypes.c_void_p(_zmq.zmq_socket(_context, kind))
        self.set(LINGER, struct.pack("=i", 0))
        if own:
            self.set(CURVE_PUBLICKEY, key_of(own, "public") + b"\0")
            self.set(CURVE_SECRETKEY, key_of(own, "secret") + b"\0")
            self.set(CURVE_SERVERKEY, key_of(learner, "public") + b"\0")
        for topic in subscribe:
            self.set(SUBSCRIBE, topic)
        self.check(_zmq.zmq_connect(self.socket, endpoint.encode()))

    def check(self, code):
        if code < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return code

    def set(self, option, value):
        self.check(_zmq.zmq_setsockopt(self.socket, option, value, len(value)))

    def say(self, frame):
        _zmq.zmq_send(self.socket, frame, len(frame), DONTWAIT)

    def hear(self, seconds):
        """The next frame, or None."""
        buffer = ctypes.create_string_buffer(FRAME_BYTES_MAX)
        until = time.monotonic() + seconds
        while True:
            size = _zmq.zmq_recv(self.socket, buffer, FRAME_BYTES_MAX, DONTWAIT)
            if size >= 0:
                return buffer.raw[:size]
            if time.monotonic() > until:
                return None
            time.sleep(0.005)

    def drain(self):
        """How many frames have come."""
        count = 0
        while self.hear(0) is not None:
            count += 1
        return count

    def close(self):
        _zmq.zmq_close(self.socket)


# --- Messages


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def number(field, value):
    return varint(field << 3) + varint(value) if value else b""


def block(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def floats(values):
    return struct.pack(f"<{len(values)}f", *values)


def hello(session, name, step_limit, role=0, oldest_unacked=1):
    env, obs_dim, act_dim, low, high = SLOW_SPEC
    spec = (block(1, env) + number(2, obs_dim) + number(3, act_dim) + number(4, step_limit)
            + block(5, floats(low)) + block(6, floats(high)))
    return (bytes([KIND_HELLO]) + number(1, PROTOCOL_VERSION) + number(2, role)
            + block(3, session) + number(4, oldest_unacked) + block(5, name) + block(7, spec)
            + number(8, 1))


def segment(sequence, num_steps=1):
    _, obs_dim, act_dim, _, _ = SLOW_SPEC
    return (bytes([KIND_SEGMENT]) + number(1, sequence) + number(5, num_steps)
            + block(8, number(1, 1))
            + block(9, floats([0.0] * (num_steps + 1) * obs_dim))
            + block(10, floats([0.0] * num_steps * act_dim)) + block(11, floats([0.0] * num_steps)))


def text_of(frame):
    """What a Reject says."""
    return frame[1:].decode("utf-8", "replace")
