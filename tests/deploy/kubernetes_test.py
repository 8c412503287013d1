"""The manifests of deploy/kubernetes: kubectl renders them, the published schemas take them, and they fit
the programs and one another. No cluster is asked. pods_test.py runs what they start."""

import copy
import os
import shutil
import tempfile
import unittest

import harness
import manifests

manifests.use_wheels()
if not manifests.has_kubectl():
    manifests.skip(manifests.NO_KUBECTL)
import manifest_checks  # noqa: E402, of what the wheels have


def container(objects, name="polyak-actor", kind="Deployment"):
    return manifests.pod_of(manifests.find(objects, kind, name))["containers"][0]


def learner(objects):
    return container(objects, "polyak-learner", "StatefulSet")


def policy(objects, name):
    return manifests.find(objects, "NetworkPolicy", name)["spec"]


def replace_word(words, old, new):
    words[:] = [word.replace(old, new) for word in words]


def all_keys_of(objects, name):
    """The data of a Secret or ConfigMap whose name may end with a hash."""
    for thing in manifests.of_kind(objects, "Secret", "ConfigMap"):
        if thing["metadata"]["name"].startswith(name):
            return thing["data"]
    raise KeyError(name)


# What a person could get wrong, and what is said of it. The first two are for the schemas to see.
MISTAKES = [
    (lambda all: container(all).update(imagePullPolicyy="Never"), "imagePullPolicyy"),
    (lambda all: container(all)["resources"]["limits"].update(memory=[]), "memory"),
    (lambda all: container(all)["securityContext"].pop("readOnlyRootFilesystem"), "root file system"),
    (lambda all: container(all)["securityContext"].update(capabilities={}), "capabilities"),
    (lambda all: manifests.pod_of(manifests.workloads(all)[0])["securityContext"].update(
        runAsNonRoot=False), "as root"),
    (lambda all: learner(all)["resources"]["limits"].update(cpu="3"), "Guaranteed"),
    (lambda all: learner(all).pop("livenessProbe"), "not all probes"),
    (lambda all: replace_word(learner(all)["args"], "--resume", "--resum"), "--resum"),
    (lambda all: replace_word(container(all)["args"], "--spool-segments", "--spool"), "--spool"),
    (lambda all: replace_word(container(all)["args"], "fleet.key", "flet.key"), "flet.key"),
    (lambda all: replace_word(container(all)["args"], "5555", "5556"), "does not lead"),
    (lambda all: replace_word(container(all)["args"], "NODE_NAME", "NODE"), "variable"),
    (lambda all: replace_word(learner(all)["args"], "5555", "6555"), "does not fit its ports"),
    (lambda all: learner(all)["ports"][1].update(name="weight"), "does not lead"),
    (lambda all: manifests.find(all, "Service", "polyak-learner")["spec"]["selector"].update(
        {"app.kubernetes.io/component": "actor"}), "does not lead"),
    (lambda all: policy(all, "polyak-diallers")["egress"].pop(1), "from DNS"),
    (lambda all: policy(all, "polyak-diallers")["egress"][1]["to"][0]["podSelector"][
        "matchLabels"].update({"app.kubernetes.io/name": "polyak"}), "from DNS"),
    (lambda all: policy(all, "polyak-diallers")["egress"][0]["ports"].pop(1), "port 5556"),
    (lambda all: policy(all, "polyak-learner")["ingress"][0].update({"from": [{"podSelector": {}}]}),
     "any pod"),
    (lambda all: policy(all, "polyak-nothing").update(policyTypes=["Ingress"]), "could dial others"),
    (lambda all: all_keys_of(all, "polyak-fleet-keys").clear(), "fleet.key"),
    (lambda all: all_keys_of(all, "polyak-allowed-keys").pop("fleet.pub"), "not allowed as actor"),
    (lambda all: all_keys_of(all, "polyak-allowed-keys").pop("probe.pub"), "not allowed as observer"),
    (lambda all: all_keys_of(all, "polyak-public-keys").update(
        {"learner.pub": all_keys_of(all, "polyak-allowed-keys")["ops.pub"]}), "of whom it dials"),
    (lambda all: manifests.pod_of(manifests.find(all, "StatefulSet", "polyak-learner"))["volumes"][
        1]["secret"].update(defaultMode=0o444), "0440"),
    (lambda all: manifests.find(all, "StatefulSet", "polyak-learner")["spec"].update(replicas=2),
     "one learner"),
    (lambda all: manifests.find(all, "Service", "polyak-learner")["metadata"].pop("namespace"),
     "namespace"),
    (lambda all: learner(all)["livenessProbe"].update(failureThreshold=1), "three minutes"),
    (lambda all: learner(all).update(readinessProbe={"tcpSocket": {"port": "uplink"}}),
     "a bare connection"),
    (lambda all: manifests.pod_of(manifests.find(all, "StatefulSet", "polyak-learner")).pop(
        "terminationGracePeriodSeconds"), "polyak-learner: has less than 120 s"),
    (lambda all: manifests.pod_of(manifests.find(all, "Deployment", "polyak-actor")).update(
        terminationGracePeriodSeconds=5), "polyak-actor: has less than 30 s"),
    (lambda all: manifests.find(all, "PodDisruptionBudget", "polyak-learner")["spec"].update(
        maxUnavailable=1), "the learner may be evicted"),
    (lambda all: manifests.find(all, "Service", "polyak-learner")["spec"].pop(
        "publishNotReadyAddresses"), "Service polyak-learner: hides"),
    (lambda all: manifests.find(all, "Service", "polyak-learner-pods")["spec"].pop(
        "publishNotReadyAddresses"), "Service polyak-learner-pods: hides"),
]

# And where there are relays.
MISTAKES_WITH_RELAYS = [
    (lambda all: manifests.find(all, "Service", "polyak-relay")["spec"].pop("sessionAffinity"),
     "two relays"),
    (lambda all: container(all, "polyak-relay").update(
        readinessProbe={"tcpSocket": {"port": "uplink"}}), "polyak-relay: readinessProbe: a bare"),
    (lambda all: manifests.find(all, "PodDisruptionBudget", "polyak-relay")["spec"].update(
        maxUnavailable=2), "all relays"),
]


class Manifests(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="polyak-kubernetes-")
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.copy = manifests.copy_with_keys(cls.directory)

    def render(self, *names):
        return manifests.render(os.path.join(self.copy, *names))

    def overlay(self, name, kustomization):
        """Renders an overlay of a test's own."""
        directory = os.path.join(self.copy, "overlays", name)
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, "kustomization.yaml"), "w", encoding="utf-8") as file:
            file.write("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
                       + kustomization)
        return manifests.render(directory)

    def test_a_laptop(self):
        objects = self.render("overlays", "laptop")
        self.assertEqual(manifest_checks.complaints(objects), [])
        self.assertEqual(manifests.find(objects, "Deployment", "polyak-actor")["spec"]["replicas"], 2)

    def test_a_cluster_with_relays(self):
        objects = self.render("overlays", "cluster")
        self.assertEqual(manifest_checks.complaints(objects), [])
        self.assertIn("--connect=tcp://polyak-relay:5555", manifests.command_of(
            manifests.find(objects, "Deployment", "polyak-actor"), manifest_checks.FIELDS))

    def test_actors_that_scale_by_themselves(self):
        objects = self.overlay("scaled", "resources: [../laptop]\n"
                                         "components: [../../components/autoscale]\n")
        self.assertEqual(manifest_checks.complaints(objects), [])
        self.assertEqual(len(manifests.of_kind(objects, "HorizontalPodAutoscaler")), 1)

    def test_allowed_keys_keep_their_name_and_secrets_do_not(self):
        before = self.render("overlays", "laptop")
        keys = os.path.join(self.copy, "overlays", "laptop", "keys")
        shutil.copytree(keys, keys + ".before")
        try:
            manifests.run_readme(r"polyak keygen fleet", self.directory)
            for name in ("fleet.key", "fleet.pub"):
                os.replace(os.path.join(self.directory, name), os.path.join(keys, name))
            after = self.render("overlays", "laptop")
        finally:
            shutil.rmtree(keys)
            os.rename(keys + ".before", keys)

        def pod(objects, kind, name):
            return manifests.pod_of(manifests.find(objects, kind, name))
        self.assertEqual(pod(before, "StatefulSet", "polyak-learner"),
                         pod(after, "StatefulSet", "polyak-learner"))
        self.assertNotEqual(pod(before, "Deployment", "polyak-actor"),
                            pod(after, "Deployment", "polyak-actor"))

    def test_mistakes_are_seen(self):
        for overlay, mistakes in (("laptop", MISTAKES), ("cluster", MISTAKES_WITH_RELAYS)):
            good = self.render("overlays", overlay)
            for number, (mistake, said) in enumerate(mistakes):
                with self.subTest(overlay=overlay, number=number, said=said):
                    objects = copy.deepcopy(good)
                    mistake(objects)
                    # The schemas take a second each time, and few mistakes are theirs.
                    by_schema = mistakes is MISTAKES and number < 2
                    checks = manifest_checks.ALL if by_schema else manifest_checks.ALL[1:]
                    self.assertIn(said, "\n".join(manifest_checks.complaints(objects, checks)))


if __name__ == "__main__":
    harness.main()
