#!/usr/bin/env python3
"""Records Gymnasium's MuJoCo tasks, for parity_test to replay.

    record.py OUTPUT [STEPS]

Needs gymnasium and mujoco. Writes lines of numbers that read back exactly (C99 hexadecimal):

    task NAME OPTIONS           a task begins; OPTIONS as the plugin takes them
    start QPOS… QVEL…           an episode begins in this state
    obs NUMBERS…                the observation of a start, or of the step before
    step ACTION…                a step with this action in [-1, 1], as the host maps it
    result REWARD TERMINATED TRUNCATED

Actions are float32 values, handed over as float64: NumPy would square float32 in float32.
"""
import sys

import gymnasium
import numpy as np

TASKS = ["Ant", "HalfCheetah", "Hopper", "Humanoid", "HumanoidStandup", "InvertedDoublePendulum",
         "InvertedPendulum", "Pusher", "Reacher", "Swimmer", "Walker2d"]

# Tasks that are changed by keywords, so that these are compared too.
CHANGED = [
    ("Ant", {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.1,
             "contact_force_range": (-5.0, 5.0), "healthy_z_range": (0.3, 0.9),
             "exclude_current_positions_from_observation": False, "frame_skip": 4}),
    ("HalfCheetah", {"forward_reward_weight": 2.0, "ctrl_cost_weight": 0.3, "frame_skip": 3}),
    ("Hopper", {"terminate_when_unhealthy": False, "healthy_reward": 3.0}),
    ("Hopper", {"healthy_state_range": (-5.0, 5.0), "healthy_angle_range": (-0.1, 0.3)}),
    ("Humanoid", {"include_cinert_in_observation": False, "contact_cost_weight": 1e-3,
                  "include_qfrc_actuator_in_observation": False,
                  "contact_cost_range": (-1.0, 2.0)}),
    ("HumanoidStandup", {"impact_cost_weight": 1e-3, "impact_cost_range": (-1.0, 4.0),
                         "include_cvel_in_observation": False,
                         "include_cfrc_ext_in_observation": False}),
    ("InvertedDoublePendulum", {"healthy_reward": 4.0}),
    ("Pusher", {"reward_near_weight": 2.0, "reward_dist_weight": 3.0,
                "reward_control_weight": 0.7}),
]


def option(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ":".join(repr(number) for number in value)
    return repr(value)


def line(out, word, *arrays):
    numbers = [float(x).hex() for array in arrays for x in np.ravel(array)]
    print(word, *numbers, file=out)


def start(out, env, seed):
    """An episode whose state at the start is the recorded one."""
    obs, _ = env.reset(seed=seed)
    data = env.unwrapped.data
    line(out, "start", data.qpos, data.qvel)
    line(out, "obs", obs)


def record(out, name, keywords, steps):
    env = gymnasium.make(f"{name}-v5", **keywords)
    rng = np.random.default_rng(7)
    space = env.action_space
    options = "".join(f",{key}={option(value)}" for key, value in keywords.items())
    print("task", f"{name}-v5", f"task={name}-v5{options}", file=out)
    seed = 0
    start(out, env, seed)
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    for _ in range(steps):
        unit = rng.uniform(-1.0, 1.0, size=space.shape).astype(np.float32).astype(np.float64)
        action = (0.5 * (low + high) + 0.5 * (high - low) * unit).astype(np.float32)
        obs, reward, terminated, truncated, _ = env.step(action.astype(np.float64))
        line(out, "step", unit)
        line(out, "obs", obs)
        line(out, "result", reward, terminated, truncated)
        if terminated or truncated:
            seed += 1
            start(out, env, seed)
    env.close()


def main():
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    gymnasium.logger.min_level = gymnasium.logger.ERROR
    with open(sys.argv[1], "w", encoding="ascii") as out:
        for name in TASKS:
            record(out, name, {}, steps)
        for name, keywords in CHANGED:
            record(out, name, keywords, max(steps // 4, 1))


if __name__ == "__main__":
    main()
