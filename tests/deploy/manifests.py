"""What deploy/kubernetes says, rendered by kubectl and looked at: the tests of the manifests and those
that run them share it. Needs kubectl, and the wheels of scripts/requirements-test.txt."""

import base64
import glob
import os
import re
import shutil
import subprocess
import sys

import harness

SOURCE = os.environ["POLYAK_SOURCE_DIR"]
MANIFESTS = os.path.join(SOURCE, "deploy", "kubernetes")
SCHEMAS = ("1.29", "1.37")  # of these Kubernetes versions, and so of those between
# Debian 12's own, of the package kubernetes-client, is 1.20.
NO_KUBECTL = "needs kubectl, 1.21 or newer: https://kubernetes.io/docs/tasks/tools/"
DIALLERS = {"actor": "actor", "evaluator": "evaluator", "relay": "relay"}  # component: role it needs


def use_wheels():
    """Goes on under the Python that has the wheels; skips the script where there are none."""
    prefix = os.path.join(SOURCE, ".venv-test")
    if os.path.realpath(sys.prefix) == os.path.realpath(prefix):
        return
    python = os.path.join(prefix, "bin", "python")
    if not os.access(python, os.X_OK):
        skip("needs the wheels in .venv-test: scripts/setup.sh test")
    os.execv(python, [python, *sys.argv])


def skip(why):
    print(f"skipped: {why}")
    sys.exit(harness.SKIPPED)


def has_kubectl():
    """Whether there is a kubectl that knows components, which is since 1.21."""
    if not shutil.which("kubectl"):
        return False
    said = subprocess.run(["kubectl", "version", "--client"], capture_output=True, text=True,
                          check=False)
    version = re.search(r"v1\.(\d+)", said.stdout)
    return version is not None and int(version[1]) >= 21


def run_readme(pattern, directory):
    """Runs those lines of the README that match, with the programs of this build; how many."""
    with open(os.path.join(MANIFESTS, "README.md"), encoding="utf-8") as file:
        lines = [line.strip() for line in file if re.match(pattern, line.strip())]
    for line in lines:
        environment = dict(os.environ, PATH=f"{harness.BIN}:{os.environ['PATH']}")
        subprocess.run(["bash", "-ec", line], cwd=directory, env=environment, check=True,
                       stdout=subprocess.DEVNULL)
    return len(lines)


def copy_with_keys(directory):
    """A copy of deploy/kubernetes below, in which each overlay has keys; its path."""
    copy = os.path.join(directory, "kubernetes")
    shutil.copytree(MANIFESTS, copy, ignore=shutil.ignore_patterns("*.key", "*.pub"))
    for overlay in glob.glob(os.path.join(copy, "overlays", "*", "keys")):
        if run_readme(r"polyak keygen ", overlay) < 5:
            raise AssertionError("the README does not say how keys are made")
    return copy


def render(directory):
    """The objects that kubectl would send to a cluster."""
    import yaml
    done = subprocess.run(["kubectl", "kustomize", directory], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0 or done.stderr:
        raise AssertionError(f"kubectl kustomize {directory}: {done.stderr}")
    return list(yaml.safe_load_all(done.stdout))


# --- Parts of objects

def find(objects, kind, name):
    for thing in objects:
        if thing["kind"] == kind and thing["metadata"]["name"] == name:
            return thing
    return None


def of_kind(objects, *kinds):
    return [thing for thing in objects if thing["kind"] in kinds]


def workloads(objects):
    return of_kind(objects, "StatefulSet", "Deployment")


def component(thing):
    return thing["metadata"]["labels"]["app.kubernetes.io/component"]


def pod_of(workload):
    return workload["spec"]["template"]["spec"]


def labels_of(workload):
    return workload["spec"]["template"]["metadata"]["labels"]


def expand(words, values):
    """What the kubelet makes of $(NAME)."""
    return [re.sub(r"\$\((\w+)\)", lambda match: values.get(match[1], match[0]), word)
            for word in words]


def environment_of(workload, fields):
    """The variables of a container, with these values of what the downward API gives."""
    values = {}
    for variable in pod_of(workload)["containers"][0].get("env", []):
        reference = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        values[variable["name"]] = fields[reference] if reference else variable["value"]
    return values


def command_of(workload, fields):
    container = pod_of(workload)["containers"][0]
    return expand(container["command"] + container.get("args", []),
                  environment_of(workload, fields))


def flag(command, name):
    """The value of a flag; None without it."""
    for word in command:
        if word == name or word.startswith(name + "="):
            return word.partition("=")[2]
    return None


def files_of(objects, volume):
    """What is in a volume that a Secret or a ConfigMap fills: text by name; None when it is missing."""
    if "secret" in volume:
        secret = find(objects, "Secret", volume["secret"]["secretName"])
        return secret and {name: base64.b64decode(text).decode()
                           for name, text in secret["data"].items()}
    if "configMap" in volume:
        config = find(objects, "ConfigMap", volume["configMap"]["name"])
        return config and config["data"]
    return {}


def mounted(objects, workload):
    """The files that a container sees: text by path."""
    pod = pod_of(workload)
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    seen = {}
    for mount in pod["containers"][0].get("volumeMounts", []):
        for name, text in (files_of(objects, volumes.get(mount["name"], {})) or {}).items():
            seen[os.path.join(mount["mountPath"], name)] = text
    return seen


# --- Who may talk to whom

def selects(selector, labels):
    """Whether a label selector takes these labels."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions", []):
        if rule["operator"] != "In":
            raise AssertionError("only In is understood here")
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True


def _peer_fits(peer, labels, namespace, home):
    if "namespaceSelector" in peer:
        if not selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": namespace}):
            return False
    elif namespace != home:
        return False
    return selects(peer.get("podSelector", {}), labels)


def policy_allows(objects, direction, own, other, port, protocol="TCP", namespace="polyak"):
    """Whether the NetworkPolicies let a pod of the fleet talk (Egress) to, or be talked to (Ingress) by,
    another pod, which may lie in another namespace. Pods are their labels."""
    policies = [policy for policy in of_kind(objects, "NetworkPolicy")
                if direction in policy["spec"]["policyTypes"] and
                selects(policy["spec"]["podSelector"], own)]
    if not policies:
        return True
    rules, peers = ("egress", "to") if direction == "Egress" else ("ingress", "from")
    for policy in policies:
        for rule in policy["spec"].get(rules, []):
            ports = [(item["protocol"], item["port"]) for item in rule["ports"]]
            if (protocol, port) in ports and any(
                    _peer_fits(peer, other, namespace, policy["metadata"]["namespace"])
                    for peer in rule[peers]):
                return True
    return False


def may_dial(objects, source, target, port):
    return (policy_allows(objects, "Egress", source, target, port) and
            policy_allows(objects, "Ingress", target, source, port))
