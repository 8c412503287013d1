#!/usr/bin/env python3
"""Records what the original environments do, for tests/actor/envs/builtin/trace_test.c.

    python3 -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python make_traces.py            # writes the traces next to this file
    venv/bin/python make_traces.py --check    # fails unless they equal fresh ones

A trace is lines of text: `#` a comment, `state` the environment's state that an episode is started
from, `step` an action, the observation after it, the reward, terminated, truncated. Numbers are
written so that they read back exactly.
"""

import argparse
import importlib.metadata
import os
import pathlib
import sys

os.environ.setdefault("MUJOCO_GL", "disabled")

import gymnasium
import numpy as np
from dm_control import suite

HERE = pathlib.Path(__file__).resolve().parent


def step_line(action, obs, reward, terminated, truncated):
    # Environments here report float32, and str() of a float32 has exactly the digits it needs.
    texts = [str(np.float32(v)) for v in (*action, *obs, reward)]
    return f"step {' '.join(texts)} {int(terminated)} {int(truncated)}"


class Gymnasium:
    """An environment of Gymnasium, started from a state of our choice."""

    def __init__(self, name, dtype):
        self.env = gymnasium.make(name)
        self.dtype = dtype

    def start(self, state):
        self.env.reset(seed=0)
        self.env.unwrapped.state = np.array(state, dtype=self.dtype)

    def step(self, action):
        obs, reward, terminated, truncated, _ = self.env.step(action)
        return obs, reward, terminated, truncated


class CartpoleSwingup:
    """dm_control's cartpole swingup; the state is x, theta and their velocities."""

    def __init__(self):
        self.env = suite.load("cartpole", "swingup", task_kwargs={"random": 0})

    def start(self, state):
        self.env.reset()
        with self.env.physics.reset_context():
            self.env.physics.data.qpos[:] = state[:2]
            self.env.physics.data.qvel[:] = state[2:]

    def step(self, action):
        step = self.env.step(action)
        obs = np.concatenate([step.observation["position"], step.observation["velocity"]])
        return obs.astype(np.float32), step.reward, False, step.last()


def episode(env, state, policy, max_steps):
    """Runs until the episode ends, or for max_steps; policy(step, last observation) -> action."""
    lines = ["state " + " ".join(repr(v) for v in state)]
    env.start(state)
    obs = None
    for step in range(max_steps):
        action = np.array([policy(step, obs)], dtype=np.float32)
        obs, reward, terminated, truncated = env.step(action)
        lines.append(step_line(action, obs, reward, terminated, truncated))
        if terminated or truncated:
            break
    return lines


def random_policy(seed, scale, hold=1):
    """Uniform in [-scale, scale], each action kept for `hold` steps."""
    actions = np.random.default_rng(seed).uniform(-scale, scale, size=2000)
    return lambda step, obs: actions[step // hold]


def pendulum():
    env = Gymnasium("Pendulum-v1", np.float64)
    spin = lambda step, obs: 2.0  # reaches the largest speed, and turns many times
    return (
        ["# a whole episode of random torques, truncated at its 200th step"]
        + episode(env, [2.5, -0.7], random_policy(1, 2.0), 1000)
        + ["# full torque from the top: the speed's limit, and angles beyond a turn"]
        + episode(env, [0.1, 3.0], spin, 60)
        + ["# backwards through zero and beyond a turn"]
        + episode(env, [-0.4, -8.0], random_policy(2, 2.0, hold=10), 80)
    )


def mountain_car_continuous():
    env = Gymnasium("MountainCarContinuous-v0", np.float32)
    # Pushing along with the motion gains height on both sides.
    pump = lambda step, obs: 0.9 if step == 0 or obs[1] >= 0 else -0.9
    start = lambda position, velocity=0.0: [float(np.float32(v)) for v in (position, velocity)]
    return (
        ["# to the goal"]
        + episode(env, start(-0.52), pump, 1000)
        + ["# into the left wall"]
        + episode(env, start(-0.9, -0.06), lambda step, obs: -1.0, 40)
        + ["# a whole episode of weak random forces, truncated at its 999th step"]
        + episode(env, start(-0.45), random_policy(3, 0.5, hold=7), 1000)
    )


def cartpole_swingup():
    env = CartpoleSwingup()
    return (
        ["# hanging, random forces"]
        + episode(env, [0.01, 3.13, -0.005, 0.01], random_policy(4, 1.0, hold=5), 150)
        + ["# falling from the top"]
        + episode(env, [-0.3, 0.05, 0.2, -0.1], random_policy(5, 0.3), 150)
        + ["# full force into the right end of the rail, and back"]
        + episode(env, [1.5, 2.0, 1.0, -3.0], lambda step, obs: 1.0 if step < 40 else -0.5, 80)
        + ["# fast into the left end"]
        + episode(env, [-1.7, -1.0, -3.0, 2.0], lambda step, obs: -1.0 if step < 60 else 0.2, 100)
    )


TRACES = {
    "pendulum.txt": (pendulum, ("gymnasium", "numpy")),
    "mountain_car_continuous.txt": (mountain_car_continuous, ("gymnasium", "numpy")),
    "cartpole_swingup.txt": (cartpole_swingup, ("dm_control", "mujoco", "numpy")),
}


def render(record, packages):
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    head = [
        f"# Recorded by make_traces.py with {versions}.",
        "# state: as the environment keeps it",
        "# step: action, observation, reward, terminated, truncated",
    ]
    return "\n".join(head + record()) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, do not write")
    check = parser.parse_args().check
    wrong = []
    for name, (record, packages) in TRACES.items():
        path = HERE / name
        text = render(record, packages)
        if not check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            wrong.append(name)
    if wrong:
        sys.exit(f"not equal to fresh traces: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
