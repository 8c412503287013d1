"""The pods of deploy/kubernetes, run in the image of deploy/container by crun."""

import json
import os
import tempfile

import harness
import manifests
import pods

manifests.use_wheels()
if not manifests.has_kubectl():
    manifests.skip(manifests.NO_KUBECTL)
import container_test  # noqa: E402, which may skip for other wants

# Steps of the run in pods, and the return that says that a pendulum is swung up.
ENV_STEPS = 15000
RETURN_MIN = -250


class Pods(container_test.Image):
    def pods_of(self, overlay, env_steps):
        """A cluster with the objects of an overlay, whose run is a short one."""
        copy = manifests.copy_with_keys(tempfile.mkdtemp(dir=self.directory))
        path = os.path.join(copy, "overlays", overlay)
        with open(os.path.join(path, "polyak.yaml"), "w", encoding="utf-8") as file:
            file.write(f"env: pendulum\ntotal_env_steps: {env_steps}\n")
        cluster = pods.Cluster(os.path.dirname(copy), self.rootfs, self.image, manifests.render(path))
        self.addCleanup(cluster.close)
        self.clusters.append(cluster)
        return cluster

    def run(self, result=None):
        result = result or self.defaultTestResult()
        before = len(result.failures) + len(result.errors)
        self.clusters = []
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            for pod in [pod for cluster in self.clusters for pod in cluster.pods]:
                print(pod.name, pod.program.story(), sep="\n")
        return result

    def _status(self, learner):
        code, said = learner.probe("livenessProbe", "--json")
        self.assertEqual(code, 0)
        return json.loads(said)

    def _midway(self, learner, env_steps):
        """The learner's status when it has a fifth of its steps."""
        def look():
            status = self._status(learner)
            return status if status["env_steps"] > env_steps / 5 else None
        learner.program.says("listening on")
        return harness.wait_until(look, "a fifth of the steps")

    def test_the_laptop_s_pods_train_a_pendulum(self):
        cluster = self.pods_of("laptop", ENV_STEPS)
        set_of_learners = cluster.find("StatefulSet", "polyak-learner")
        actors = cluster.find("Deployment", "polyak-actor")
        learner = cluster.start(set_of_learners)
        learner.program.says("listening on")
        fleet = [cluster.start(actors, number) for number in range(actors["spec"]["replicas"])]
        fleet.append(cluster.start(cluster.find("Deployment", "polyak-evaluator")))
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            self.assertEqual(learner.probe(probe)[0], 0)
        status = self._midway(learner, ENV_STEPS)
        named = {actor["name"]: actor["labels"] for actor in status["actors"]}
        self.assertEqual(named, {f"polyak-actor-{number}": "node=node-7.example.com"
                                 for number in range(len(fleet) - 1)})

        # The learner's pod is deleted, and comes back; an actor's is deleted for good.
        learner.terminate()
        self.assertIn("--resume goes on from here", learner.program.log)
        learner = cluster.start(set_of_learners)
        fleet.pop(0).terminate()
        self.assertEqual(learner.program.end(), 0)
        for pod in fleet:
            self.assertEqual(pod.program.end(), 0)

        asked = ["polyak", "eval", "--run-dir=/var/lib/polyak/run", "--checkpoint=best",
                 "--episodes=20", "--json"]
        evaluation = cluster.start(set_of_learners, command=asked)
        self.assertEqual(evaluation.program.end(), 0)
        score = json.loads(evaluation.program.out)
        print(f"pods: return {score['return_mean']:.1f} over 20 episodes")
        self.assertGreater(score["return_mean"], RETURN_MIN)

    def test_the_cluster_s_actors_dial_a_relay(self):
        cluster = self.pods_of("cluster", 3000)
        fleet = [cluster.start(cluster.find(kind, f"polyak-{name}")) for kind, name in (
            ("StatefulSet", "learner"), ("Deployment", "relay"), ("Deployment", "actor"),
            ("Deployment", "evaluator"))]
        status = self._midway(fleet[0], 3000)
        self.assertEqual([(actor["name"], actor["via"]) for actor in status["actors"]],
                         [("polyak-actor-0", "polyak-relay-0")])
        for pod in fleet:
            self.assertEqual(pod.program.end(), 0)


if __name__ == "__main__":
    harness.main()
