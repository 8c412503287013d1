#!/usr/bin/env python3
"""Computes DDPG updates in float64, for tests/learner/agent/ddpg_reference_test.c.

    python3 -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python make_vectors.py            # writes the vectors next to this file
    venv/bin/python make_vectors.py --check    # fails unless they agree with fresh ones

Written from the DDPG and Adam papers and docs/algorithm.md, and shares nothing with the C code.
Before anything is written, its gradients are compared with central differences of its losses.

A file holds one case: `config`, the parameters at the start, one batch per update, and the whole
state after the first and after the last update. A network's blocks are flat: per layer W (out, in)
row-major, then b. Inputs are float32 numbers; results are rounded to nine digits.
"""

import argparse
import json
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
UPDATES = 5
BASE = {
    "obs_dim": 3, "act_dim": 2, "hidden": [8, 7], "batch": 5,
    "gamma": 0.9, "tau": 0.05, "actor_lr": 1e-3, "critic_lr": 2e-3,
    "critic_weight_decay": 0.0, "grad_clip": 0.0,
}
CASES = {
    "plain": {},
    "decay": {"critic_weight_decay": 0.1},
    "clip": {"grad_clip": 0.05},
    "decay_clip": {"critic_weight_decay": 0.1, "grad_clip": 0.05, "batch": 7},
    "one_hidden": {"hidden": [6], "act_dim": 1, "tau": 0.5, "gamma": 0.99},
}
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def float32(x):
    return np.asarray(x, dtype=np.float32).astype(np.float64)


class Network:
    """Layers as matrices; a bias is a column of ones' worth of weights kept apart."""

    def __init__(self, sizes, squash):
        self.sizes, self.squash = sizes, squash
        self.shapes = [s for i, o in zip(sizes, sizes[1:]) for s in ((o, i), (o,))]

    def split(self, flat):
        parts, at = [], 0
        for shape in self.shapes:
            count = int(np.prod(shape))
            parts.append(flat[at:at + count].reshape(shape))
            at += count
        assert at == flat.size
        return parts

    def size(self):
        return sum(int(np.prod(shape)) for shape in self.shapes)

    def is_weight(self):
        return np.concatenate([np.full(int(np.prod(s)), len(s) == 2) for s in self.shapes])

    def forward(self, flat, x):
        """Output, and what the backward pass needs: the input of every layer."""
        parts = self.split(flat)
        inputs = []
        for layer in range(0, len(parts), 2):
            inputs.append(x)
            x = x @ parts[layer].T + parts[layer + 1]
            if layer < len(parts) - 2:
                x = np.maximum(x, 0)
        return (np.tanh(x) if self.squash else x), inputs

    def backward(self, flat, inputs, output, d_output):
        """Gradients with respect to the parameters (flat) and to the input."""
        parts = self.split(flat)
        delta = d_output * (1 - output**2) if self.squash else d_output
        grads = [None] * len(parts)
        for layer in reversed(range(0, len(parts), 2)):
            grads[layer] = np.einsum("bo,bi->oi", delta, inputs[layer // 2])
            grads[layer + 1] = delta.sum(axis=0)
            delta = np.einsum("bo,oi->bi", delta, parts[layer])
            if layer > 0:
                delta = delta * (inputs[layer // 2] > 0)
        return np.concatenate([g.ravel() for g in grads]), delta


class Adam:
    def __init__(self, size, lr):
        self.m, self.v, self.t, self.lr = np.zeros(size), np.zeros(size), 0, lr

    def step(self, params, grad):
        self.t += 1
        self.m = BETA1 * self.m + (1 - BETA1) * grad
        self.v = BETA2 * self.v + (1 - BETA2) * grad**2
        m_hat = self.m / (1 - BETA1**self.t)
        v_hat = self.v / (1 - BETA2**self.t)
        return params - self.lr * m_hat / (np.sqrt(v_hat) + EPSILON)


def critic_loss(critic, params, batch, y):
    q, inputs = critic.forward(params, np.hstack([batch["obs"], batch["action"]]))
    error = q[:, 0] - y
    grad, _ = critic.backward(params, inputs, q, (2 * error / len(y))[:, None])
    return np.mean(error**2), grad, np.mean(q)


def actor_loss(actor, params, critic, critic_params, batch):
    obs = batch["obs"]
    action, actor_inputs = actor.forward(params, obs)
    q, inputs = critic.forward(critic_params, np.hstack([obs, action]))
    _, d_input = critic.backward(critic_params, inputs, q, np.full_like(q, -1 / len(q)))
    grad, _ = actor.backward(params, actor_inputs, action, d_input[:, obs.shape[1]:])
    return -np.mean(q), grad


def check_gradient(loss, params, grad):
    for i in range(params.size):
        step = np.zeros_like(params)
        step[i] = 1e-6
        expected = (loss(params + step) - loss(params - step)) / 2e-6
        assert abs(grad[i] - expected) < 1e-7 * (1 + abs(expected)), (i, grad[i], expected)


def clip(grad, norm_max):
    norm = np.sqrt(np.sum(grad**2))
    return norm, grad * (norm_max / norm) if 0 < norm_max < norm else grad


def numbers(x):
    return [float(f"{value:.9g}") for value in np.ravel(x)]


def make_batch(rng, config):
    rows, obs_dim, act_dim = config["batch"], config["obs_dim"], config["act_dim"]
    bootstrap = np.ones(rows)
    bootstrap[1] = bootstrap[rows - 1] = 0
    return {
        "obs": float32(rng.standard_normal((rows, obs_dim))),
        "action": float32(rng.uniform(-1, 1, (rows, act_dim))),
        "next_obs": float32(rng.standard_normal((rows, obs_dim))),
        "reward": float32(rng.standard_normal(rows)),
        "bootstrap": bootstrap,
    }


def make_case(index, config):
    rng = np.random.default_rng([2015, index])
    actor = Network([config["obs_dim"], *config["hidden"], config["act_dim"]], True)
    critic = Network([config["obs_dim"] + config["act_dim"], *config["hidden"], 1], False)
    mu = float32(rng.uniform(-0.6, 0.6, actor.size()))
    q = float32(rng.uniform(-0.6, 0.6, critic.size()))
    mu_target, q_target = mu.copy(), q.copy()
    mu_adam = Adam(actor.size(), config["actor_lr"])
    q_adam = Adam(critic.size(), config["critic_lr"])
    case = {"config": config, "actor_start": numbers(mu), "critic_start": numbers(q),
            "updates": []}
    for update in range(1, UPDATES + 1):
        batch = make_batch(rng, config)
        next_action, _ = actor.forward(mu_target, batch["next_obs"])
        next_q, _ = critic.forward(q_target, np.hstack([batch["next_obs"], next_action]))
        y = batch["reward"] + config["gamma"] * batch["bootstrap"] * next_q[:, 0]

        q_loss, grad, q_mean = critic_loss(critic, q, batch, y)
        check_gradient(lambda p: critic_loss(critic, p, batch, y)[0], q, grad)
        q_norm, grad = clip(grad, config["grad_clip"])
        assert config["grad_clip"] == 0 or q_norm > config["grad_clip"]
        q = q_adam.step(q, grad + config["critic_weight_decay"] * q * critic.is_weight())

        mu_loss, grad = actor_loss(actor, mu, critic, q, batch)
        check_gradient(lambda p: actor_loss(actor, p, critic, q, batch)[0], mu, grad)
        mu_norm, grad = clip(grad, config["grad_clip"])
        assert config["grad_clip"] == 0 or mu_norm > config["grad_clip"]
        mu = mu_adam.step(mu, grad)

        mu_target = config["tau"] * mu + (1 - config["tau"]) * mu_target
        q_target = config["tau"] * q + (1 - config["tau"]) * q_target

        record = {name: numbers(batch[name]) for name in batch}
        record["stats"] = dict(zip(
            ("critic_loss", "actor_loss", "q_mean", "critic_grad_norm", "actor_grad_norm"),
            numbers([q_loss, mu_loss, q_mean, q_norm, mu_norm])))
        if update in (1, UPDATES):
            record["actor"] = {"params": numbers(mu), "target": numbers(mu_target),
                               "adam_m": numbers(mu_adam.m), "adam_v": numbers(mu_adam.v)}
            record["critic"] = {"params": numbers(q), "target": numbers(q_target),
                                "adam_m": numbers(q_adam.m), "adam_v": numbers(q_adam.v)}
        case["updates"].append(record)
    return case


def close(a, b):
    """Equal but for the last digits, which depend on the order of NumPy's sums."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(close(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(close, a, b))
    return abs(a - b) <= 2e-8 * max(abs(a), abs(b)) + 1e-15


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    failed = False
    for index, (name, changes) in enumerate(CASES.items()):
        case = make_case(index, {**BASE, **changes})
        path = HERE / f"{name}.json"
        if check:
            same = close(case, json.loads(path.read_text()))
            failed |= not same
            print(f"{path.name}: {'as computed' if same else 'DIFFERS'}")
        else:
            path.write_text(json.dumps(case, separators=(",", ":")).replace('],"', '],\n"') + "\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
