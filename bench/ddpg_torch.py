"""The DDPG update in PyTorch, for compare.py. Two ways: `optim`, with torch.optim.Adam (foreach);
`flat`, with all parameters of a network in one tensor, so that Adam is a few large operations
instead of many small ones."""

import numpy as np
import torch
import torch.nn.functional as F

import peer

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


# Layers are [(W, b), ...]. In place, where autograd allows it.
def forward(layers, x):
    for i, (w, b) in enumerate(layers):
        x = F.linear(x.relu_() if i else x, w, b)
    return x


def mu(layers, obs):
    return forward(layers, obs).tanh_()


# One product over s | a. Two products, which save the gradient with respect to s, were no faster.
def q_of(layers, obs, action):
    return forward(layers, torch.cat((obs, action), 1))


class Network:
    """Blocks of floats, and views of them as layers."""

    def __init__(self, flat, layers, lr, weight_decay):
        self.lr, self.weight_decay, self.steps = lr, weight_decay, 0
        self.params, self.target = torch.tensor(flat), torch.tensor(flat)
        self.adam_m, self.adam_v = torch.zeros(len(flat)), torch.zeros(len(flat))
        self.constant_layers = peer.split(self.params, layers)  # no gradient with respect to them
        self.target_layers = peer.split(self.target, layers)
        self.layers = [(w.detach().requires_grad_(), b.detach().requires_grad_())
                       for w, b in self.constant_layers]
        self.leaves = [leaf for layer in self.layers for leaf in layer]

    def blocks(self):
        return {"params": self.params, "target": self.target, "adam_m": self.adam_m,
                "adam_v": self.adam_v}


class FlatNetwork(Network):
    def __init__(self, flat, layers, lr, weight_decay):
        super().__init__(flat, layers, lr, weight_decay)
        self.grad, self.root = torch.empty(len(flat)), torch.empty(len(flat))
        self.decay = torch.cat([torch.full((leaf.numel(),), weight_decay * (leaf.dim() == 2))
                                for leaf in self.leaves])

    def descend(self, loss):
        grads = torch.autograd.grad(loss, self.leaves)
        with torch.no_grad():
            torch.cat([g.reshape(-1) for g in grads], out=self.grad)
            if self.weight_decay > 0:
                self.grad.addcmul_(self.params, self.decay)
            self.steps += 1
            root_fix2 = (1 - BETA2**self.steps) ** 0.5
            self.adam_m.mul_(BETA1).add_(self.grad, alpha=1 - BETA1)
            self.adam_v.mul_(BETA2).addcmul_(self.grad, self.grad, value=1 - BETA2)
            torch.sqrt(self.adam_v, out=self.root).add_(EPSILON * root_fix2)
            self.params.addcdiv_(self.adam_m, self.root,
                                 value=-self.lr * root_fix2 / (1 - BETA1**self.steps))


class OptimNetwork(Network):
    def __init__(self, flat, layers, lr, weight_decay):
        super().__init__(flat, layers, lr, weight_decay)
        groups = [{"params": self.leaves}]
        if weight_decay > 0:
            groups = [{"params": [w for w, _ in self.layers], "weight_decay": weight_decay},
                      {"params": [b for _, b in self.layers]}]
        self.optim = torch.optim.Adam(groups, lr=lr, betas=(BETA1, BETA2), eps=EPSILON,
                                      foreach=True)

    def descend(self, loss):
        self.optim.zero_grad(set_to_none=True)
        loss.backward()
        self.optim.step()

    def blocks(self):
        state = [self.optim.state[leaf] for leaf in self.leaves]
        return {**super().blocks(),
                "adam_m": torch.cat([s["exp_avg"].reshape(-1) for s in state]),
                "adam_v": torch.cat([s["exp_avg_sq"].reshape(-1) for s in state])}


class Flat:
    updates_per_call = 1
    network = FlatNetwork

    def __init__(self, config, actor, critic, updates_at_hand=None):
        self.config = config
        self.actor = self.network(actor, peer.shapes(config, "actor"), config["actor_lr"], 0)
        self.critic = self.network(critic, peer.shapes(config, "critic"), config["critic_lr"],
                                   config["critic_weight_decay"])
        self.calls = 0

    def load(self, batches):
        self.batches = [{name: torch.from_numpy(x) for name, x in batch.items()}
                        for batch in batches]

    def call(self):
        batch = self.batches[self.calls % len(self.batches)]
        self.calls += 1
        config, actor, critic = self.config, self.actor, self.critic
        obs, next_obs = batch["obs"], batch["next_obs"]
        with torch.no_grad():
            next_q = q_of(critic.target_layers, next_obs, mu(actor.target_layers, next_obs))
            y = torch.addcmul(batch["reward"], batch["bootstrap"], next_q, value=config["gamma"])
        critic.descend(F.mse_loss(forward(critic.layers, batch["obs_action"]), y))
        actor.descend(-q_of(critic.constant_layers, obs, mu(actor.layers, obs)).mean())
        # Both networks are one block in either way. lerp_ would be one operation, but it is four
        # times slower than these two in Debian's build.
        with torch.no_grad():
            for network in (actor, critic):
                network.target.mul_(1 - config["tau"]).add_(network.params, alpha=config["tau"])

    def wait(self):
        pass  # call() returns when all is done

    def state(self):
        return {"actor": {name: x.numpy() for name, x in self.actor.blocks().items()},
                "critic": {name: x.numpy() for name, x in self.critic.blocks().items()}}


class Optim(Flat):
    network = OptimNetwork


def set_up(threads):
    torch.set_flush_denormal(True)
    # Debian's PyTorch multiplies with OpenBLAS, which has threads of its own, and PyTorch's get
    # into their way: updates took two to four times as long with both. Elementwise operations are
    # too small here to gain from threads. A build with MKL shares one team.
    torch.set_num_threads(threads if torch.backends.mkl.is_available() else 1)
    torch.set_num_interop_threads(1)


if __name__ == "__main__":
    peer.main({"flat": Flat, "optim": Optim},
              {"torch": torch.__version__, "torch_numpy": np.__version__}, set_up)
