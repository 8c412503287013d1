"""What the peers of compare.py share: start parameters, batches, the check against tests/ref/ddpg,
and the timing. A peer's way to do updates is a class, handed to main():

    Way(config, actor, critic, updates_at_hand)
                        config: keys as in tests/ref/ddpg; actor, critic: flat, float32.
                        updates_at_hand: as many as one call may do, where a call can do several
    load(batches)       the batches that updates cycle through
    updates_per_call    how many updates one call does
    call()              does them; may return before they are done
    wait()              returns when they are done
    state()             for actor and critic, the flat blocks params, target, adam_m and adam_v

The program then prints one JSON object:

    ddpg_jax.py versions
    ddpg_jax.py check --way WAY      against the reference vectors
    ddpg_jax.py time --way WAY --hidden 400,300 --batch 64 --threads 1 --seconds 2

How many CPUs the process may use is set from outside, by compare.py.
"""

import argparse
import json
import pathlib
import statistics
import time

import numpy as np

NUM_BATCHES = 8
WARMUP_UPDATES = 20
PARTS = 5  # a figure is the median of these, as in polyak bench
REFERENCE = pathlib.Path(__file__).resolve().parent.parent / "tests" / "ref" / "ddpg"
CASES = ("plain", "decay", "one_hidden")  # those without clipping, which is off by default
TOLERANCE = 1e-4
DEFAULTS = {"gamma": 0.99, "tau": 0.001, "actor_lr": 1e-4, "critic_lr": 1e-3,
            "critic_weight_decay": 1e-2}


def shapes(config, network):
    """(out, in) of each layer's matrix."""
    obs_dim, act_dim = config["obs_dim"], config["act_dim"]
    first, last = (obs_dim, act_dim) if network == "actor" else (obs_dim + act_dim, 1)
    sizes = [first, *config["hidden"], last]
    return list(zip(sizes[1:], sizes))


def split(flat, layers):
    """Views [(W, b), ...] of a flat block: per layer W (out, in) row-major, then b."""
    parts, at = [], 0
    for out, into in layers:
        weights = flat[at:at + out * into].reshape(out, into)
        at += out * into
        parts.append((weights, flat[at:at + out]))
        at += out
    return parts


def start_params(rng, layers):
    blocks = []
    for index, (out, into) in enumerate(layers):
        bound = 3e-3 if index == len(layers) - 1 else 1 / into**0.5
        blocks.append(rng.uniform(-bound, bound, out * into + out))
    return np.concatenate(blocks).astype(np.float32)


def make_batch(rng, config):
    rows, obs_dim, act_dim = config["batch"], config["obs_dim"], config["act_dim"]
    batch = {
        "obs": rng.standard_normal((rows, obs_dim)),
        "action": rng.uniform(-1, 1, (rows, act_dim)),
        "next_obs": rng.standard_normal((rows, obs_dim)),
        "reward": rng.standard_normal((rows, 1)),
        "bootstrap": rng.uniform(size=(rows, 1)) >= 0.01,
    }
    return finish_batch(batch)


def finish_batch(batch):
    """Observation and action side by side, as polyak bench prepares them too."""
    batch["obs_action"] = np.hstack([batch["obs"], batch["action"]])
    return {name: np.ascontiguousarray(x, dtype=np.float32) for name, x in batch.items()}


# --- Check ------------------------------------------------------------------------------------


def reference_batch(update, config):
    rows = config["batch"]
    return finish_batch({name: np.array(update[name]).reshape(rows, -1)
                         for name in ("obs", "action", "next_obs", "reward", "bootstrap")})


def largest_error(state, update):
    """In parts of a number plus its block's root mean square, as in ddpg_reference_test.c."""
    worst = 0.0
    for network in ("actor", "critic"):
        for block, expected in update[network].items():
            expected = np.array(expected)
            error = np.abs(np.asarray(state[network][block], dtype=np.float64) - expected)
            scale = np.abs(expected) + np.sqrt(np.mean(expected**2))
            worst = max(worst, float(np.max(error / scale)))
    return worst


def check(way):
    """The largest error after the first and after the last update, over all cases."""
    worst = 0.0
    for case in CASES:
        vectors = json.loads((REFERENCE / f"{case}.json").read_text())
        config = vectors["config"]
        actor = np.array(vectors["actor_start"], dtype=np.float32)
        critic = np.array(vectors["critic_start"], dtype=np.float32)
        updates = vectors["updates"]
        for count in (1, len(updates)):
            peer = way(config, actor, critic, updates_at_hand=count)
            peer.load([reference_batch(update, config) for update in updates[:count]])
            for _ in range(count // peer.updates_per_call):
                peer.call()
            peer.wait()
            worst = max(worst, largest_error(peer.state(), updates[count - 1]))
    return {"error_max": worst, "tolerance": TOLERANCE, "ok": worst <= TOLERANCE}


# --- Timing -----------------------------------------------------------------------------------


def part(peer, seconds):
    """us per update: calls for about `seconds`; looks at the clock, and waits, now and then."""
    updates, began = 0, time.perf_counter()
    calls = 1
    while True:
        for _ in range(calls):
            peer.call()
        peer.wait()
        updates += calls * peer.updates_per_call
        passed = time.perf_counter() - began
        if passed >= seconds:
            return 1e6 * passed / updates
        calls = max(1, int(updates / passed * (seconds - passed) / peer.updates_per_call))


def measure(way, config, seconds):
    rng = np.random.default_rng(1)
    peer = way(config, start_params(rng, shapes(config, "actor")),
                      start_params(rng, shapes(config, "critic")))
    peer.load([make_batch(rng, config) for _ in range(NUM_BATCHES)])
    for _ in range(max(1, WARMUP_UPDATES // peer.updates_per_call)):
        peer.call()
    peer.wait()
    figures = [part(peer, seconds / PARTS) for _ in range(PARTS)]
    if not all(np.isfinite(block).all() for blocks in peer.state().values()
               for block in blocks.values()):
        raise SystemExit("an update on random numbers diverged")
    return {"us_per_update": statistics.median(figures), "us_per_update_min": min(figures),
            "us_per_update_max": max(figures)}


def main(ways, versions, set_up=lambda threads: None):
    """ways: name -> class; set_up(threads) is called before anything is computed."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("what", choices=("versions", "check", "time"))
    parser.add_argument("--way", choices=ways, default=next(iter(ways)))
    parser.add_argument("--obs-dim", type=int, default=17)
    parser.add_argument("--act-dim", type=int, default=6)
    parser.add_argument("--hidden", default="400,300")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2)
    args = parser.parse_args()
    set_up(args.threads)
    if args.what == "versions":
        result = versions
    elif args.what == "check":
        result = check(ways[args.way])
    else:
        config = {**DEFAULTS, "obs_dim": args.obs_dim, "act_dim": args.act_dim,
                  "hidden": [int(width) for width in args.hidden.split(",")],
                  "batch": args.batch}
        result = measure(ways[args.way], config, args.seconds)
    print(json.dumps(result))
