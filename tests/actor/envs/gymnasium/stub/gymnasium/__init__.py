"""Stands in for Gymnasium in tests: as much of it as the worker uses, and environments that fail in
every way. Needs NumPy alone.

    Count-v0    observes (steps, seed, process id, sum of the actions so far), reward = steps;
                ends when it is told to, and fails at a step with what its options say
    Discrete-v0, Dict-v0, Infinite-v0, Huge-v0, Whole-v0, Matrix-v0    other spaces
    Blind-v0    has no picture
    NoPackage-v0    needs what is not installed
"""

import os
import signal
import sys
import time
import types
import warnings

import numpy as np

__version__ = "1.0-stub"


def _error(name, base=Exception):
    return type(name, (base,), {"__module__": "gymnasium.error"})


error = types.SimpleNamespace(Error=_error("Error"))
error.UnregisteredEnv = _error("UnregisteredEnv", error.Error)
error.NameNotFound = _error("NameNotFound", error.UnregisteredEnv)
error.DeprecatedEnv = _error("DeprecatedEnv", error.Error)
error.DependencyNotInstalled = _error("DependencyNotInstalled", error.Error)


class Box:
    def __init__(self, low, high, shape, dtype=np.float32):
        self.shape, self.dtype = shape, np.dtype(dtype)
        self.low = np.full(shape, low, dtype)
        self.high = np.full(shape, high, dtype)

    def __eq__(self, other):
        return (self.shape == other.shape and np.array_equal(self.low, other.low)
                and np.array_equal(self.high, other.high))

    def __repr__(self):
        return f"Box({self.low.min()}, {self.high.max()}, {self.shape}, {self.dtype})"


class Discrete:
    def __init__(self, n):
        self.n = n

    def __repr__(self):
        return f"Discrete({self.n})"


class Dict:
    def __init__(self, **spaces):
        self.spaces = spaces

    def __repr__(self):
        return f"Dict({self.spaces})"


spaces = types.SimpleNamespace(Box=Box, Discrete=Discrete, Dict=Dict)


class Env:
    observation_space = Box(-np.inf, np.inf, (4,))
    action_space = Box(-1, 1, (2,))
    render_mode = None
    spec = None

    def reset(self, *, seed=None, options=None):
        return np.zeros(self.observation_space.shape, np.float32), {}

    def close(self):
        pass


class Count(Env):
    """Options: limit=N is the TimeLimit's. `end=N` terminates, `cut=N` truncates at step N. `fault=`
    one of the methods below, `at=N` its step, 0 for the reset, -1 for when it is made; `once=FILE`: only as
    long as the file is not there, and it is there then. `closed=FILE` is written by close().
    `starts=FILE` gets a line for each process. `slow_ms` for a step, `say` for each step. `fps` is its metadata's."""

    def __init__(self, fault=None, at=1, once=None, end=0, cut=0, slow_ms=0, say=None, closed=None,
                 starts=None, low=-1, high=1, dtype="float32", text="", render_mode=None,
                 picture="fine", grows=None, only=None, fps=None):
        self.metadata = {"render_fps": fps}
        self.fault, self.at, self.once, self.end, self.cut = fault, at, once, end, cut
        self.slow_ms, self.say, self.closed, self.text = slow_ms, say, closed, text
        self.render_mode, self.picture = render_mode, picture
        self.action_space = Box(low, high, (2,), dtype)
        self.index = Count.made = getattr(Count, "made", -1) + 1
        self.only = only  # the index of the one that has faults
        if starts and self.index == 0:
            with open(starts, "a", encoding="utf-8") as file:
                file.write(f"{os.getpid()}\n")
        if grows and os.path.exists(grows):
            self.observation_space = Box(-np.inf, np.inf, (5,))
        self.steps = self.seed = self.sum = 0
        self._fail(-1)

    def obs(self):
        return np.array([self.steps, self.seed, os.getpid(), self.sum], np.float32)

    def _fail(self, at):
        if not self.fault or at != self.at or self.only not in (None, self.index):
            return None
        if self.once:
            if os.path.exists(self.once):
                return None
            with open(self.once, "w", encoding="utf-8"):
                pass
        return getattr(self, "do_" + self.fault)()

    def reset(self, *, seed=None, options=None):
        assert isinstance(seed, int) and 0 <= seed < 2**32
        self.steps, self.seed, self.sum = 0, seed % 65536, 0
        failed = self._fail(0)
        return self.obs() if failed is None else failed[0], {}

    def step(self, action):
        assert action.dtype == self.action_space.dtype and action.shape == (2,)
        assert (action >= self.action_space.low).all() and (action <= self.action_space.high).all()
        self.steps += 1
        self.sum += float(action.sum())
        if self.say:
            print(f"{self.say} {self.steps}")
        time.sleep(self.slow_ms / 1000)
        failed = self._fail(self.steps)
        if failed is not None:
            return failed
        return self.obs(), float(self.steps), self.steps == self.end, self.steps == self.cut, {}

    def render(self):
        if self.picture == "hangs":
            self.do_hang()
        if self.picture == "raises":
            raise RuntimeError("no GL here")
        if self.picture == "flat":
            return np.zeros((4, 6), np.uint8)
        frame = np.zeros((4, 6, 3), np.uint8)
        frame[:, 3:] = self.steps
        return frame

    def close(self):
        if self.closed:
            with open(self.closed, "a", encoding="utf-8") as file:
                file.write("closed\n")

    # --- Faults

    def do_raise(self):
        raise ValueError("the joint is\nbroken")

    def do_exit(self):
        sys.exit(3)

    def do_die(self):
        print("goodbye")
        os._exit(7)

    def do_kill(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def do_scribble(self):
        """Writes where it has no business, as a C library may: over the header that all share."""
        with open(3, "r+b", buffering=0, closefd=False) as memory:
            memory.seek(0)
            memory.write(b"\xff" * 200)

    def do_wreck(self):
        self.do_scribble()
        os._exit(8)

    def do_crash(self):
        import ctypes
        ctypes.string_at(0)

    def do_hang(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(1)

    def do_fork(self):
        """A child keeps all descriptors, and lives on."""
        if os.fork() == 0:
            time.sleep(1000)
        os._exit(9)

    def do_wrong(self):
        return np.zeros(3), 0.0, False, False, {}

    def do_one(self):
        return np.zeros(1), 0.0, False, False, {}

    def do_text(self):
        return "four", 0.0, False, False, {}

    def do_words(self):
        return np.array(["1", "2", "3", "4"]), 0.0, False, False, {}

    def do_four(self):
        return self.obs(), 0.0, False, {}

    def do_reward(self):
        return self.obs(), "much", False, False, {}

    def do_nan(self):
        return np.full(4, np.nan), 0.0, False, False, {}

    def do_list(self):
        return [1, 2, 3, 4], np.float32(0.5), np.bool_(False), np.bool_(True), {}

    def do_double(self):
        return self.obs().astype(np.float64), 3, False, False, {}

    def do_flood(self):
        for i in range(100000):
            print(f"line {i}")

    def do_long(self):
        print("x" * 100000)
        sys.stdout.write("tab\there, \033[1;33mno\033[0m end")


class Discretely(Env):
    action_space = Discrete(4)


class Dictionary(Env):
    observation_space = Dict(position=Box(-1, 1, (2,)))


class Infinite(Env):
    action_space = Box(-np.inf, np.inf, (1,))


class Huge(Env):
    observation_space = Box(0, 255, (96, 96, 3), np.uint8)


class Whole(Env):
    """Whole numbers: observes what arrived."""

    observation_space = Box(0, 100, (2,), np.int64)
    action_space = Box(0, 10, (2,), np.int32)

    def reset(self, *, seed=None, options=None):
        return np.array([1, 2]), {}

    def step(self, action):
        assert action.dtype == np.int32
        return action.astype(np.int64), 1, False, False, {}


class Matrix(Env):
    """Shapes of more than one dimension; the observation is the action kept from the last step."""

    observation_space = Box(-1, 1, (2, 2), np.float64)
    action_space = Box(-1, 1, (2, 2), np.float64)
    kept = np.zeros((2, 2))

    def step(self, action):
        assert action.shape == (2, 2) and action.dtype == np.float64
        kept, self.kept = self.kept, action
        return kept, 0.0, False, False, {}


class Blind(Env):
    """Takes a render_mode, and has none."""

    metadata = {"render_modes": []}

    def __init__(self, render_mode=None, claims=False):
        self.render_mode = render_mode if claims else None

    def step(self, action):
        return np.zeros(4, np.float32), 0.0, False, False, {}

    def render(self):
        raise NotImplementedError


class NoPackage(Env):
    def __init__(self):
        raise error.DependencyNotInstalled("Box3D is not installed, run `pip install box3d`")


class TimeLimit(Env):
    """Truncates by itself too, as Gymnasium's does."""

    def __init__(self, env, limit):
        self.env, self.limit, self.steps = env, limit, 0
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.render_mode, self.close = env.render_mode, env.close
        self.render = getattr(env, "render", None)
        self.spec = types.SimpleNamespace(max_episode_steps=limit)

    def reset(self, **kwargs):
        self.steps = 0
        return self.env.reset(**kwargs)

    def step(self, action):
        obs, reward, terminated, truncated, info = self.env.step(action)
        self.steps += 1
        return obs, reward, terminated, truncated or self.steps >= self.limit, info


registry = {"Count-v0": Count, "Discrete-v0": Discretely, "Dict-v0": Dictionary,
            "Infinite-v0": Infinite, "Huge-v0": Huge, "Whole-v0": Whole, "Matrix-v0": Matrix,
            "Blind-v0": Blind, "NoPackage-v0": NoPackage}


def make(env_id, max_episode_steps=None, disable_env_checker=None, **kwargs):
    module, colon, name = env_id.rpartition(":")
    if colon:
        try:
            __import__(module)
        except ModuleNotFoundError as failure:
            raise ModuleNotFoundError(f"{failure}. Environment registration via importing a module "
                                      "failed.") from failure
    if name not in registry:
        raise error.NameNotFound(f"Environment `{name}` doesn't exist. Did you mean: `Count-v0`?")
    assert disable_env_checker is True
    mode, modes = kwargs.get("render_mode"), getattr(registry[name], "metadata", {}).get("render_modes")
    if mode and modes is not None and mode not in modes:
        warnings.warn(f"\033[33mWARN: The environment is being initialised with render_mode={mode!r} "
                      f"that is not in the possible render_modes ({modes}).\033[0m", stacklevel=1)
    env = registry[name](**kwargs)
    return TimeLimit(env, max_episode_steps) if max_episode_steps else env
