"""The DDPG update in JAX, for compare.py. Two ways: `jit`, one call per update, as a training loop
makes it; `scan`, one call for many updates, for a user who has many batches at hand."""

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np

import peer

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
UPDATES_PER_SCAN = 64


# A network's parameters are a list [W, b, W, b, ...] with W (in, out): on the CPU, products with it
# were a little faster than with (out, in).
def forward(params, x):
    for i in range(0, len(params), 2):
        x = (jax.nn.relu(x) if i else x) @ params[i] + params[i + 1]
    return x


def mu(params, obs):
    return jnp.tanh(forward(params, obs))


# One product over s | a. Two products, which save the gradient with respect to s, were slower.
def q_of(params, obs, action):
    return forward(params, jnp.concatenate([obs, action], axis=1))


def adam(network, grads, t, lr, weight_decay):
    """The network's blocks after one step; the bias corrections are pulled out of the quotient."""
    root_fix2 = jnp.sqrt(1 - BETA2**t)
    rate = lr * root_fix2 / (1 - BETA1**t)

    def step(p, g, m, v):
        if p.ndim == 2 and weight_decay > 0:
            g = g + weight_decay * p
        m = BETA1 * m + (1 - BETA1) * g
        v = BETA2 * v + (1 - BETA2) * g * g
        return p - rate * m / (jnp.sqrt(v) + EPSILON * root_fix2), m, v

    stepped = [step(*x) for x in zip(network["params"], grads, network["adam_m"],
                                     network["adam_v"])]
    params, adam_m, adam_v = (list(block) for block in zip(*stepped))
    return {"params": params, "adam_m": adam_m, "adam_v": adam_v}


def update(config, networks, batch):
    actor, critic, t = networks["actor"], networks["critic"], networks["t"] + 1
    obs, next_obs, tau = batch["obs"], batch["next_obs"], config["tau"]

    next_q = q_of(critic["target"], next_obs, mu(actor["target"], next_obs))
    y = batch["reward"] + config["gamma"] * batch["bootstrap"] * next_q

    def critic_loss(params):
        return jnp.mean((forward(params, batch["obs_action"]) - y) ** 2)

    new_critic = adam(critic, jax.grad(critic_loss)(critic["params"]), t, config["critic_lr"],
                      config["critic_weight_decay"])

    def actor_loss(params):
        return -jnp.mean(q_of(new_critic["params"], obs, mu(params, obs)))

    new_actor = adam(actor, jax.grad(actor_loss)(actor["params"]), t, config["actor_lr"], 0)

    for new, old in ((new_critic, critic), (new_actor, actor)):
        new["target"] = [tau * p + (1 - tau) * target
                         for p, target in zip(new["params"], old["target"])]
    return {"actor": new_actor, "critic": new_critic, "t": t}


def network_from(flat, layers):
    def block(values):  # arrays of their own: the update is given them to write into
        return [jnp.array(x.T, copy=True) for layer in peer.split(values, layers) for x in layer]

    return {"params": block(flat), "target": block(flat), "adam_m": block(np.zeros_like(flat)),
            "adam_v": block(np.zeros_like(flat))}


class Jit:
    updates_per_call = 1

    def __init__(self, config, actor, critic, updates_at_hand=None):
        self.config = config
        self.networks = {"actor": network_from(actor, peer.shapes(config, "actor")),
                         "critic": network_from(critic, peer.shapes(config, "critic")),
                         "t": jnp.zeros((), jnp.float32)}
        self.run = jax.jit(self.updates, donate_argnums=0)
        self.calls = 0

    def updates(self, networks, batch):
        return update(self.config, networks, batch)

    def load(self, batches):
        self.batches = [jax.device_put(batch) for batch in batches]

    def call(self):
        self.networks = self.run(self.networks, self.batches[self.calls % len(self.batches)])
        self.calls += 1

    def wait(self):
        jax.block_until_ready(self.networks)

    def state(self):
        def flat(block):
            return np.concatenate([np.asarray(x).T.ravel() for x in block])

        return {name: {key: flat(block) for key, block in self.networks[name].items()}
                for name in ("actor", "critic")}


class Scan(Jit):
    def __init__(self, config, actor, critic, updates_at_hand=UPDATES_PER_SCAN):
        super().__init__(config, actor, critic)
        self.updates_per_call = updates_at_hand

    def updates(self, networks, batches):
        def step(networks, batch):
            return update(self.config, networks, batch), None

        def all_batches(_, networks):
            return jax.lax.scan(step, networks, batches)[0]

        rounds = self.updates_per_call // len(batches["obs"])
        return jax.lax.fori_loop(0, rounds, all_batches, networks)

    def load(self, batches):
        self.batches = [jax.device_put({name: np.stack([batch[name] for batch in batches])
                                        for name in batches[0]})]


if __name__ == "__main__":
    peer.main({"jit": Jit, "scan": Scan},
              {"jax": jax.__version__, "jaxlib": jaxlib.__version__, "jax_numpy": np.__version__})
