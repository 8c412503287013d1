"""Reads a replay log as docs/log.md describes it, and says what is wrong with it.

A reader of its own, so that a test of what the log holds does not believe the program that wrote it.
It trusts lengths, numbers and order; checksums are not computed. Standard library only.
"""

import collections
import os
import re
import struct

NAME = re.compile(r"^log-[0-9a-f]+-[0-9a-f]+-[0-9a-f]+\.plog$")
MAGIC = 0x474F4C50
HEADER = struct.Struct("<IIIIQ")  # magic, payload bytes, kind, check, hash
HEAD, TABLE, SESSION, SEGMENT, GAP = 1, 2, 3, 4, 5
HEAD_PAYLOAD = struct.Struct("<II16sIIIIQQQQ")
SEGMENT_PAYLOAD = struct.Struct("<QQQ16sQQQdQIIIIII")
SESSION_PAYLOAD = struct.Struct("<16sQQIIIIBB")
GAP_PAYLOAD = struct.Struct("<QQQQQQ")

Head = collections.namedtuple("Head", "version epoch run_id obs_dim act_dim segment_steps "
                              "num_sessions base_position base_row env_steps episodes")
Segment = collections.namedtuple("Segment", "position row env_steps session session_steps sequence "
                                 "episode episode_return update epoch env_index first_step "
                                 "num_steps end zero")
Session = collections.namedtuple("Session", "id sequence env_steps actor_index incarnation "
                                 "num_envs idle_s key name")
Gap = collections.namedtuple("Gap", "first_position position row rows env_steps num_steps")


class Log:
    """All files of a directory, oldest first."""

    def __init__(self, directory):
        self.names = sorted(name for name in os.listdir(directory) if NAME.match(name))
        self.heads = []  # (name, head)
        self.items = []  # segments and gaps
        self.sessions = {}  # the newest record of each, by id
        self.torn = []  # (name, offset, bytes left): no whole record up to the file's end
        self.problems = []
        self.num_bytes = 0
        for name in self.names:
            with open(os.path.join(directory, name), "rb") as file:
                self._read(name, file.read())

    def _read(self, name, data):
        self.num_bytes += len(data)
        at = 0
        while at < len(data):
            if len(data) - at < HEADER.size:
                break
            magic, size, kind, _, _ = HEADER.unpack_from(data, at)
            if magic != MAGIC or at + HEADER.size + size > len(data):
                break
            payload = data[at + HEADER.size:at + HEADER.size + size]
            if (at == 0) != (kind == HEAD):
                self.problems.append(f"{name}: a record of kind {kind} at {at}")
            self._take(name, kind, payload)
            at += HEADER.size + size
        if at < len(data):
            self.torn.append((name, at, len(data) - at))

    def _take(self, name, kind, payload):
        if kind == HEAD:
            head = Head(*HEAD_PAYLOAD.unpack(payload))
            # What an older file holds from here on was never counted as logged.
            while self.items and self.items[-1].position >= head.base_position:
                self.items.pop()
            self.heads.append((name, head))
        elif kind == TABLE:
            count, at = struct.unpack_from("<I", payload)[0], 4
            for _ in range(count):
                at = self._take_session(payload, at)
        elif kind == SESSION:
            self._take_session(payload, 0)
        elif kind == SEGMENT:
            segment = Segment(*SEGMENT_PAYLOAD.unpack_from(payload))
            self._check_size(name, segment, len(payload))
            self.items.append(segment)
        elif kind == GAP:
            self.items.append(Gap(*GAP_PAYLOAD.unpack(payload)))
        else:
            self.problems.append(f"{name}: a record of kind {kind}")

    def _take_session(self, payload, at):
        *fields, key_bytes, name_bytes = SESSION_PAYLOAD.unpack_from(payload, at)
        at += SESSION_PAYLOAD.size
        key = payload[at:at + key_bytes].decode()
        name = payload[at + key_bytes:at + key_bytes + name_bytes].decode()
        self.sessions[fields[0]] = Session(*fields, key, name)
        return at + key_bytes + name_bytes

    def _check_size(self, name, segment, size):
        head = self.heads[-1][1]
        floats = ((segment.num_steps + 1) * head.obs_dim
                  + segment.num_steps * (head.act_dim + 1))
        wanted = SEGMENT_PAYLOAD.size + 4 * floats
        if size != (wanted + 7) // 8 * 8:
            self.problems.append(f"{name}: segment {segment.position} has {size} bytes")

    # --- What it says

    @property
    def segments(self):
        return [item for item in self.items if isinstance(item, Segment)]

    @property
    def gaps(self):
        """What went to the replay without being logged."""
        return [item for item in self.items if isinstance(item, Gap)]

    @property
    def env_steps(self):
        return self.items[-1].env_steps if self.items else 0

    def watermarks(self):
        """The last sequence of each session."""
        found = {}
        for segment in self.segments:
            found[segment.session] = segment.sequence
        return found

    def watermark(self, word):
        """Of the session whose name begins with these hexadecimal digits; 0 when it has none."""
        found = [sequence for session, sequence in self.watermarks().items()
                 if session.hex().startswith(word)]
        if len(found) > 1:
            raise ValueError(f"two sessions are {word}")
        return found[0] if found else 0

    def check(self):
        """Lines about all that should not be, for a log that was kept from its first segment on. Gaps
        are for the caller to judge."""
        wrong = list(self.problems)
        wrong += self._check_run()
        wrong += self._check_sessions()
        wrong += self._check_heads()
        return wrong

    def _check_run(self):
        """Positions, rows and env steps go on from each segment, or gap, to the next."""
        position = row = env_steps = 0
        for item in self.items:
            first, rows = ((item.first_position, item.rows) if isinstance(item, Gap)
                           else (item.position, item.num_steps + 1))
            if first != position + 1:
                yield f"position {first} after {position}"
            if item.row != row:
                yield f"position {first}: row {item.row}, not {row}"
            env_steps += item.num_steps
            if item.env_steps != env_steps:
                yield f"position {first}: {item.env_steps} env steps, not {env_steps}"
            position, env_steps, row = item.position, item.env_steps, item.row + rows

    def _check_sessions(self):
        """Every session's segments are there from the first to the last, once; but for gaps, where
        some may be missing."""
        sequences, steps = collections.Counter(), collections.Counter()
        ends = {}  # of each environment: how its last segment ended, and where
        gaps = bool(self.gaps)
        for segment in self.segments:
            session, word = segment.session, f"session {segment.session.hex()[:8]}"
            sequences[session] += 1
            steps[session] += segment.num_steps
            environment = session, segment.env_index
            episode, step, end = ends.get(environment, (segment.episode, segment.first_step, 0))
            wanted = sequences[session], steps[session], episode, step
            if end != 0:
                wanted = *wanted[:2], episode + 1, 0
            seen = (segment.sequence, segment.session_steps, segment.episode, segment.first_step)
            if seen[2:] == (episode + 1, 0):  # a fault right after a full segment ended the episode
                wanted = *wanted[:2], episode + 1, 0
            if seen[0] < wanted[0] if gaps else seen != wanted:
                yield f"{word}: sequence, steps, episode and its step {seen}, not {wanted}"
            sequences[session], steps[session] = seen[:2]
            ends[environment] = segment.episode, segment.first_step + segment.num_steps, segment.end

    def _check_heads(self):
        """Each file begins where the ones before it ended, with the same run."""
        ends = {item.position: item for item in self.items}
        for name, head in self.heads:
            before = ends.get(head.base_position - 1)
            row = env_steps = 0
            if before:
                rows = before.rows if isinstance(before, Gap) else before.num_steps + 1
                row, env_steps = before.row + rows, before.env_steps
            if (head.base_row, head.env_steps) != (row, env_steps):
                yield (f"{name}: its head says row {head.base_row}, {head.env_steps} env steps, not "
                       f"{row}, {env_steps}")
            if head.run_id != self.heads[0][1].run_id or head.version != 1:
                yield f"{name}: another run, or version"
