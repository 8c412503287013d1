"""The worker of `gymnasium:ID`: holds the environments of one actor and steps them when it is told.

Polyak runs it (worker_process.c) with the arguments ID, OPTIONS and its own process id, and with two
descriptors: 3 is the shared memory, whose header says where everything is (worker_channel.h), 4 the
bell. A ring from Polyak names the lanes whose commands are to be done, in order, as numbers of two
bytes; a ring from here names those that are done. A ring of one byte says that this worker is
ready, or that it failed: then the header says why, and it waits to be ended.

An error in an environment ends the worker: nobody knows what state it left. Polyak starts another.
Works with Gymnasium 0.29 and 1.x.
"""

import faulthandler
import json
import math
import mmap
import os
import signal
import socket
import struct
import sys
import time
import traceback
import warnings
import zlib

MEMORY_FD, BELL_FD = 3, 4
VERSION = 1
HEADER = struct.Struct("=8s16I")
SPEC = struct.Struct("=3if128s128f128f")
FAILURE = struct.Struct("=i512s8192s")
RESET, STEP, RENDER = range(3)  # commands
TERMINATED, TRUNCATED, NO_PICTURE, BAD_PICTURE = 1, 2, 4, 8  # bits of ends
USAGE, MISSING, ENV = 1, 2, 3  # failures of the set-up
TRACEBACK_LINES = 40
LONG_NS = 1_000_000  # so long, and what is done is told before the rest is
DOCS = "docs/gymnasium.md"
RESERVED = ("id", "disable_env_checker", "autoreset", "vectorization_mode")


class Refused(Exception):
    """The set-up cannot be done; its words are for a person."""

    def __init__(self, code, words):
        super().__init__(words)
        self.code = code


class Wrong(Exception):
    """An environment gave what does not fit its spaces."""


class ActorGone(BaseException):
    """The bell has no other end any more."""


def one_line(text):
    return " ".join(str(text).split())


def words_of(error):
    """An exception in one line."""
    text = one_line(error)
    name = type(error).__name__
    if isinstance(error, Wrong):
        return text
    return f"{name}: {text}" if text else name


def trace_of(error):
    """The traceback, without the frames of this file, and bounded."""
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename == "polyak-worker":
        trace = trace.tb_next
    lines = "".join(traceback.format_exception(type(error), error, trace)).rstrip().split("\n")
    if len(lines) > TRACEBACK_LINES:
        left_out = len(lines) - TRACEBACK_LINES + 1
        lines = [*lines[:10], f"  … {left_out} lines …", *lines[10 + left_out:]]
    return "\n".join(line[:200] for line in lines) if trace else ""


def cut(text, size):
    """UTF-8 that fits, with the terminating zero."""
    return str(text).encode("utf-8", "replace")[:size - 1].decode("utf-8", "ignore").encode()


# --- The actor's end

def follow(parent):
    """Dies with the actor, whatever that dies of. A signal to all processes at once, from a terminal
    or a batch system, is the actor's to heed."""
    try:
        import ctypes
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    except (ImportError, OSError, AttributeError):
        pass  # the bell's end is noticed all the same, unless an environment hangs
    if os.getppid() != parent:
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    faulthandler.register(signal.SIGUSR1, all_threads=False)


class Channel:
    """The memory and the bell."""

    def __init__(self):
        self.memory = mmap.mmap(MEMORY_FD, 0)
        self.bell = socket.socket(fileno=BELL_FD)
        os.set_inheritable(MEMORY_FD, False)
        os.set_inheritable(BELL_FD, False)
        (magic, version, self.num_lanes, self.obs_dim_max, self.act_dim_max, seeds_at, rewards_at,
         done_at, commands_at, ends_at, self.actions_at, self.obs_at, self.picture_at, _, _,
         self.spec_at, self.failure_at) = HEADER.unpack_from(self.memory)
        if magic != b"polyak\n\0" or version != VERSION:
            sys.exit("this is no memory of Polyak's")
        self.seeds = self._view(seeds_at, "Q")
        self.rewards = self._view(rewards_at, "d")
        self.done = self._view(done_at, "I")
        self.commands = self._view(commands_at, "B")
        self.ends = self._view(ends_at, "B")

    def ring(self, message):
        try:
            self.bell.send(message)
        except OSError as error:
            raise ActorGone from error

    def listen(self, inbox):
        """Waits for a ring, and gives its length."""
        try:
            size = self.bell.recv_into(inbox)
        except OSError as error:
            raise ActorGone from error
        if size == 0:
            raise ActorGone
        return size

    def _view(self, at, code):
        size = struct.calcsize(code) * self.num_lanes
        return memoryview(self.memory)[at:at + size].cast(code)

    def rows(self, np, at, dim, dim_max, shape):
        """A float32 array of this shape for each lane."""
        return [np.frombuffer(self.memory, np.float32, dim, at + 4 * dim_max * lane).reshape(shape)
                for lane in range(self.num_lanes)]

    def picture_size(self):
        return HEADER.unpack_from(self.memory)[13:15]

    def say(self, code, words, trace=""):
        FAILURE.pack_into(self.memory, self.failure_at, code, cut(one_line(words), 512),
                          cut(trace, 8192))

    def fail(self, code, words, trace=""):
        """Says why, and waits to be ended."""
        self.say(code, words, trace)
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            self.ring(b"F")
            while True:
                self.listen(bytearray(65536))
        except ActorGone:
            os._exit(1)


# --- The set-up

def value_of(text):
    """An option's value: true, false, none, a number, JSON in brackets or quotes, or text."""
    known = {"true": True, "false": False, "none": None}
    if text.lower() in known:
        return known[text.lower()]
    if "_" not in text and any(char.isdigit() for char in text):  # nan and 1_2 are words
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                pass
    return json.loads(text) if text[:1] in ("[", "{", '"') else text


def split(text):
    """The text at the commas that are outside of brackets and quotes."""
    parts, depth, quoted, escaped = [""], 0, False, False
    for char in text:
        if char == '"' and not escaped:
            quoted = not quoted
        escaped = quoted and char == "\\" and not escaped
        if not quoted:
            depth += (char in "[{") - (char in "]}")
        if char == "," and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def options_of(text):
    options = {}
    for part in split(text) if text.strip() else []:
        key, equals, value = part.strip().partition("=")
        key = key.strip()
        if not equals or not key.isidentifier():
            raise Refused(USAGE, f'bad options: "{part.strip()}" is not key=value')
        if key in RESERVED:
            raise Refused(USAGE, f"bad options: {key} is not for the user to choose")
        if key in options:
            raise Refused(USAGE, f"bad options: {key} is there twice")
        try:
            options[key] = value_of(value.strip())
        except ValueError as error:
            raise Refused(USAGE, f"bad options: {key} is no JSON: {error}") from error
    return options


def name_of(env_id, options):
    """Equal names must mean equal environments, so options are part of it; but one that only lets
    it be drawn is not."""
    name = "".join(char if char.isascii() and (char.isalnum() or char in "_.:/-") else "_"
                   for char in "gymnasium:" + env_id)
    told = {key: value for key, value in options.items() if key != "render_mode"}
    if told or len(name) > 118:
        text = json.dumps([env_id, told], sort_keys=True)
        name = f"{name[:118]}:{zlib.crc32(text.encode()):08x}"
    return name


def prepare_drawing(options):
    """Without a screen, draw in memory. Not otherwise: these libraries may not be installed. That
    there is no such picture is said when one is wanted, and not before: Polyak asks by itself."""
    if options.get("render_mode") == "rgb_array":
        warnings.filterwarnings("ignore", ".*not in the possible render_modes")
    if options.get("render_mode") is not None and not os.environ.get("DISPLAY"):
        os.environ.setdefault("MUJOCO_GL", "egl")
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")


def import_gymnasium():
    try:
        import numpy
        import gymnasium
    except Exception as error:
        raise Refused(MISSING, f"{sys.executable} cannot import gymnasium ({words_of(error)}): run "
                      "scripts/setup.sh --mujoco and use --python .venv/bin/python, or name another "
                      "Python that has it") from error
    return numpy, gymnasium


def make(gymnasium, env_id, options):
    unknown = (gymnasium.error.UnregisteredEnv, gymnasium.error.DeprecatedEnv)
    try:
        return gymnasium.make(env_id, disable_env_checker=True, **options)
    except unknown as error:
        hint = "" if ":" in env_id else "; one that a module of yours registers is gymnasium:MODULE:ID"
        raise Refused(USAGE, one_line(error).rstrip(".") + hint) from error
    except gymnasium.error.DependencyNotInstalled as error:
        words = one_line(error)
        ours = ", or scripts/setup.sh --mujoco" if "mujoco" in words.lower() else ""
        raise Refused(MISSING, f"{words}{ours} (for {sys.executable})") from error
    except ImportError as error:
        module = env_id.partition(":")[0] if ":" in env_id else None
        missing = getattr(error, "name", None) or getattr(error.__cause__, "name", None)
        code = USAGE if module and missing == module else MISSING
        raise Refused(code, f"{one_line(error)} (of {sys.executable})") from error
    except TypeError as error:
        if options and "argument" in str(error):
            raise Refused(USAGE, f"bad options: {one_line(error)}") from error
        raise
    except gymnasium.error.Error as error:
        if type(error) is gymnasium.error.Error and "alformed" in str(error):
            raise Refused(USAGE, one_line(error)) from error
        raise


def check_box(gymnasium, space, what, instead):
    if isinstance(space, gymnasium.spaces.Box) and space.dtype.kind in "fiub":
        return math.prod(space.shape)
    shown = one_line(space)
    shown = shown if len(shown) < 100 else shown[:100] + "…"
    raise Refused(USAGE, f"its {what} space is {shown}; only Box is supported{instead} ({DOCS})")


def check_dim(dim, dim_max, what):
    if not 1 <= dim <= dim_max:
        raise Refused(USAGE, f"its {what} has {dim} numbers; 1 to {dim_max} are supported ({DOCS})")


def bounds_of(np, space):
    """Bounds in float32, rounded inwards: an action never leaves the space."""
    low = np.asarray(space.low, np.float64).reshape(-1)
    high = np.asarray(space.high, np.float64).reshape(-1)
    with np.errstate(all="ignore"):
        low32, high32 = low.astype(np.float32), high.astype(np.float32)
        low32 = np.where(low32 < low, np.nextafter(low32, np.float32(np.inf)), low32)
        high32 = np.where(high32 > high, np.nextafter(high32, np.float32(-np.inf)), high32)
    for i in range(low.size):
        bounds = f"action {i} has the bounds [{low[i]:g}, {high[i]:g}]"
        if not np.isfinite(low32[i]) or not np.isfinite(high32[i]):
            raise Refused(USAGE, f"{bounds}; both must be finite: give it finite ones in an "
                          f"ActionWrapper ({DOCS})")
        if not low32[i] < high32[i]:
            raise Refused(USAGE, f"{bounds}; it needs low < high")
    return low32, high32


class Lanes:
    """The environments, one for each lane, and their arrays."""

    def __init__(self, channel, env_id, options):
        prepare_drawing(options)
        self.np, gymnasium = import_gymnasium()
        self.channel = channel
        self.may_draw = options.get("render_mode") == "rgb_array"
        self.envs = [make(gymnasium, env_id, options) for _ in range(channel.num_lanes)]
        env = self.envs[0]
        obs_space, act_space = env.observation_space, env.action_space
        obs_dim = check_box(gymnasium, obs_space, "observation",
                            ": make it one, as gymnasium.wrappers.FlattenObservation does")
        act_dim = check_box(gymnasium, act_space, "action",
                            ": actions are continuous here")
        check_dim(obs_dim, channel.obs_dim_max, "observation")
        check_dim(act_dim, channel.act_dim_max, "action")
        for other in self.envs[1:]:
            if other.observation_space != obs_space or other.action_space != act_space:
                raise Refused(ENV, "two environments that were made alike have different spaces")
        self.obs_shape = obs_space.shape
        self.act_dtype = act_space.dtype
        self.obs = channel.rows(self.np, channel.obs_at, obs_dim, channel.obs_dim_max,
                                obs_space.shape)
        self.actions = channel.rows(self.np, channel.actions_at, act_dim, channel.act_dim_max,
                                    act_space.shape)
        low, high = bounds_of(self.np, act_space)
        SPEC.pack_into(channel.memory, channel.spec_at, obs_dim, act_dim, self.step_limit(),
                       self.step_seconds(), name_of(env_id, options).encode(),
                       *(list(low) + [0.0] * (128 - act_dim)),
                       *(list(high) + [0.0] * (128 - act_dim)))

    def step_limit(self):
        """Of the TimeLimit wrapper; 0 when there is none."""
        spec = self.envs[0].spec
        steps = getattr(spec, "max_episode_steps", None)
        return steps if steps is not None and 0 < steps < 2**31 else 0

    def step_seconds(self):
        """As its pictures are meant to be shown; 0 when it does not say."""
        metadata = getattr(self.envs[0], "metadata", None)
        fps = metadata.get("render_fps") if isinstance(metadata, dict) else None
        known = isinstance(fps, (int, float)) and 0.001 <= fps < math.inf
        return 1 / fps if known else 0.0

    def fitting(self, obs, what):
        """An observation, as an array of its space's shape."""
        np = self.np
        if isinstance(obs, (dict, str, bytes)) or obs is None:
            raise Wrong(f"{what} gave an observation that is a {type(obs).__name__}, no array")
        array = np.asarray(obs)
        if array.shape != self.obs_shape:
            raise Wrong(f"{what} gave an observation of shape {array.shape}, and its space has "
                        f"{self.obs_shape}")
        if array.dtype.kind not in "fiub":
            raise Wrong(f"{what} gave an observation of dtype {array.dtype}")
        return array

    def draw(self, lane):
        """Scales what render() gives to the size that is wanted. No fault of it ends an episode."""
        np, channel = self.np, self.channel
        width, height = channel.picture_size()
        if self.envs[lane].render_mode != "rgb_array":
            hint = "" if self.may_draw else "; --env-options render_mode=rgb_array gives it one"
            channel.say(0, "it has no picture" + hint)
            return NO_PICTURE
        try:
            frame = np.asarray(self.envs[lane].render())
        except NotImplementedError:
            channel.say(0, "it has no picture")
            return NO_PICTURE
        except Exception as error:
            channel.say(0, f"render raised {words_of(error)}", "")
            return BAD_PICTURE
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or not frame.size:
            channel.say(0, f"its picture has shape {frame.shape} and dtype {frame.dtype}, not "
                        "(height, width, 3)")
            return NO_PICTURE
        memory = mmap.mmap(MEMORY_FD, width * height * 3, offset=channel.picture_at)
        picture = np.frombuffer(memory, np.uint8).reshape(height, width, 3)
        rows = np.arange(height) * frame.shape[0] // height
        columns = np.arange(width) * frame.shape[1] // width
        picture[...] = frame[rows[:, None], columns]
        return 0

    def close(self):
        for env in self.envs:
            try:
                env.close()
            except Exception as error:
                print(f"close raised {words_of(error)}", file=sys.stderr)


# --- The work

def seed_of(seed):
    """32 bits of the 64: many environments hand their seed to what takes no more."""
    return (seed ^ seed >> 32) & 0xffffffff


def serve(channel, lanes):
    """Does what is rung for until the actor is gone. All names are local: this is the time between
    two steps."""
    listen, ring = channel.listen, channel.ring
    commands, seeds, rewards = channel.commands, channel.seeds, channel.rewards
    ends, done, obs_rows = channel.ends, channel.done, lanes.obs
    resets = [env.reset for env in lanes.envs]
    steps = [env.step for env in lanes.envs]
    actions, act_dtype = lanes.actions, lanes.act_dtype
    whole_numbers = act_dtype.kind != "f"
    rint, ndarray = lanes.np.rint, lanes.np.ndarray
    float32, float64 = lanes.np.dtype("f4"), lanes.np.dtype("f8")
    obs_shape, fitting = lanes.obs_shape, lanes.fitting
    clock = time.perf_counter_ns
    inbox, outbox = bytearray(2 * channel.num_lanes), bytearray(2 * channel.num_lanes)
    asked, told = memoryview(inbox).cast("H"), memoryview(outbox).cast("H")
    count, what, lane = 0, "", 0
    try:
        while True:
            size = listen(inbox)
            told_ns = clock()
            for lane in asked[:size // 2]:
                command = commands[lane]
                if command == STEP:
                    what = "step"
                    action = rint(actions[lane]) if whole_numbers else actions[lane]
                    obs, reward, terminated, truncated, _ = steps[lane](action.astype(act_dtype))
                    try:
                        rewards[lane] = reward
                    except TypeError as error:
                        raise Wrong(f"step gave a reward that is no number, but a "
                                    f"{type(reward).__name__}") from error
                    ends[lane] = (TERMINATED if terminated else 0) | (TRUNCATED if truncated else 0)
                elif command == RESET:
                    what = "reset"
                    obs, _ = resets[lane](seed=seed_of(seeds[lane]))
                else:
                    ends[lane], obs = lanes.draw(lane), obs_rows[lane]
                if (type(obs) is not ndarray or obs.shape != obs_shape
                        or (obs.dtype is not float32 and obs.dtype is not float64)):
                    obs = fitting(obs, what)
                obs_rows[lane][...] = obs
                done[lane] = (done[lane] + 1) & 0xffffffff
                told[count] = lane
                count += 1
                if clock() - told_ns > LONG_NS:
                    ring(told[:count])
                    count = 0
                    told_ns = clock()
            if count:
                ring(told[:count])
                count = 0
    except ActorGone:
        return
    except BaseException as error:
        tell_of(channel, told[:count], what, lane, error)


def tell_of(channel, told, what, lane, error):
    """Tells of the steps that were done before, then of the error."""
    words = words_of(error) if isinstance(error, Wrong) else f"{what} raised {words_of(error)}"
    if channel.num_lanes > 1:
        words += f" (environment {lane})"
    if len(told):
        channel.ring(told)
    channel.fail(ENV, words, trace_of(error))


def main():
    env_id, options, parent = sys.argv[1], sys.argv[2], int(sys.argv[3])
    follow(parent)
    channel = Channel()
    try:
        lanes = Lanes(channel, env_id, options_of(options))
    except Refused as refusal:
        channel.fail(refusal.code, refusal)
    except BaseException as error:
        channel.fail(ENV, f"it cannot be made: {words_of(error)}", trace_of(error))
    try:
        channel.ring(b"R")
        serve(channel, lanes)
    except ActorGone:
        pass  # it left while it was being told something
    lanes.close()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
