"""What must hold of the objects that deploy/kubernetes renders to. Each check gives complaints, one a
line; no complaint is good."""

import os
import re
import shutil
import subprocess

import harness
import manifests
from manifests import (command_of, component, find, flag, labels_of, mounted, of_kind, pod_of,
                       workloads)

FIELDS = {"metadata.name": "polyak-actor-0", "spec.nodeName": "node-7.example.com"}
DNS = {"k8s-app": "kube-dns"}


def schemas(objects):
    """Each object fits the published schema of its kind, and has no field that the schema has not."""
    import kubernetes_validate
    for version in manifests.SCHEMAS:
        for thing in objects:
            try:
                kubernetes_validate.validate(thing, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                path = ".".join(map(str, error.path))
                yield f"{thing['kind']}: Kubernetes {version}: {path}: {error.message}"


def security(objects):
    """The strictest Pod Security Standard, a root file system that is read, and no token."""
    for namespace in of_kind(objects, "Namespace"):
        if namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] != "restricted":
            yield "the namespace does not enforce the restricted standard"
    for account in of_kind(objects, "ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield "the service account has a token"
    for workload in workloads(objects):
        name, pod = workload["metadata"]["name"], pod_of(workload)
        context = pod.get("securityContext", {})
        if not context.get("runAsNonRoot") or context.get("runAsUser") != 10001:
            yield f"{name}: may run as root"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name}: has no seccomp profile"
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{name}: has a token"
        for key in ("hostNetwork", "hostPID", "hostIPC", "initContainers"):
            if pod.get(key):
                yield f"{name}: has {key}"
        for volume in pod.get("volumes", []):
            if not {"configMap", "secret", "emptyDir"} & set(volume):
                yield f"{name}: has a volume of a kind that is not known here: {volume['name']}"
        for container in pod["containers"]:
            own = container.get("securityContext", {})
            if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
                yield f"{name}: may get more rights"
            if own.get("readOnlyRootFilesystem") is not True:
                yield f"{name}: may write its root file system"
            if own.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{name}: has capabilities"
            if set(own) & {"runAsUser", "runAsNonRoot", "seccompProfile"}:
                yield f"{name}: its container says otherwise than its pod"


def resources(objects):
    """All ask for what they need; the learner is the last one that a node gives up."""
    for workload in workloads(objects):
        size = pod_of(workload)["containers"][0].get("resources", {})
        requests, limits = size.get("requests", {}), size.get("limits", {})
        if not {"cpu", "memory"} <= set(requests) or "memory" not in limits:
            yield f"{workload['metadata']['name']}: does not say what it needs"
        if component(workload) == "learner" and requests != limits:
            yield "the learner is not of the class Guaranteed"


def selectors(objects):
    """Selectors and names lead to what they mean."""
    for workload in workloads(objects):
        if not manifests.selects(workload["spec"]["selector"], labels_of(workload)):
            yield f"{workload['metadata']['name']}: does not select its own pods"
    for service in of_kind(objects, "Service"):
        if not _selected(objects, {"matchLabels": service["spec"]["selector"]}):
            yield f"Service {service['metadata']['name']}: selects no pods, or several kinds"
    for budget in of_kind(objects, "PodDisruptionBudget"):
        if not _selected(objects, budget["spec"]["selector"]):
            yield f"PodDisruptionBudget {budget['metadata']['name']}: selects no pods"
    learner = find(objects, "StatefulSet", "polyak-learner")
    if not find(objects, "Service", learner["spec"]["serviceName"]):
        yield "the learner's serviceName is no Service"
    if learner["spec"]["replicas"] != 1:
        yield "there is not one learner"
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        workload = find(objects, target["kind"], target["name"])
        if not workload or "replicas" in workload["spec"]:
            yield f"the autoscaler's {target['name']} is not there, or has replicas of its own"
    for thing in objects:
        home = thing["metadata"].get("namespace")
        if home != (None if thing["kind"] == "Namespace" else "polyak"):
            yield f"{thing['kind']} {thing['metadata']['name']}: is not in the namespace"


def _selected(objects, selector):
    """The one workload whose pods are selected; None when it is not one."""
    found = [workload for workload in workloads(objects)
             if manifests.selects(selector, labels_of(workload))]
    return found[0] if len(found) == 1 else None


def _dialled(objects, command):
    """Which workload `--connect` leads to, and its port; what is wrong otherwise."""
    match = re.fullmatch(r"tcp://([a-z-]+):(\d+)", flag(command, "--connect") or "")
    service = match and find(objects, "Service", match[1])
    if not service:
        return None, f"--connect={flag(command, '--connect')} is no Service"
    ports = {port["port"]: port["targetPort"] for port in service["spec"]["ports"]}
    target = _selected(objects, {"matchLabels": service["spec"]["selector"]})
    named = target and {port["name"]: port["containerPort"]
                        for port in pod_of(target)["containers"][0].get("ports", [])}
    number = int(match[2])
    for port, program_port in ((number, number), (number + 1, number + 1)):
        if not target or named.get(ports.get(port)) != program_port:
            return None, f"port {port} of Service {match[1]} does not lead to the program's"
    return (target, number), None


def ports(objects):
    """Who dials finds somebody who listens there, and the NetworkPolicies let it."""
    learner = find(objects, "StatefulSet", "polyak-learner")
    for workload in workloads(objects):
        name, command = workload["metadata"]["name"], command_of(workload, FIELDS)
        bind = flag(command, "--bind")
        if bind:
            named = pod_of(workload)["containers"][0]["ports"]
            numbers = [port["containerPort"] for port in named]
            uplink = int(bind.rpartition(":")[2])
            if numbers != [uplink, uplink + 1] or not bind.startswith("tcp://0.0.0.0:"):
                yield f"{name}: --bind={bind} does not fit its ports {numbers}"
        if component(workload) not in manifests.DIALLERS:
            continue
        found, wrong = _dialled(objects, command)
        if wrong:
            yield f"{name}: {wrong}"
            continue
        target, port = found
        for number in (port, port + 1):
            if not manifests.may_dial(objects, labels_of(workload), labels_of(target), number):
                yield f"{name}: a NetworkPolicy keeps it from port {number}"
        for protocol in ("UDP", "TCP"):
            if not manifests.policy_allows(objects, "Egress", labels_of(workload), DNS, 53, protocol,
                                           "kube-system"):
                yield f"{name}: a NetworkPolicy keeps it from DNS"
        if manifests.policy_allows(objects, "Egress", labels_of(workload), {}, 443, "TCP", "other"):
            yield f"{name}: could reach other pods"
    stranger = {"app.kubernetes.io/name": "polyak"}
    if manifests.policy_allows(objects, "Ingress", labels_of(learner), stranger, 5555):
        yield "any pod may dial the learner"
    if manifests.policy_allows(objects, "Egress", labels_of(learner), stranger, 5555):
        yield "the learner could dial others"
    operator = dict(stranger, **{"app.kubernetes.io/component": "operator"})
    if not manifests.may_dial(objects, operator, labels_of(learner), 5555):
        yield "an operator's pod may not dial the learner"


def lives(objects):
    """What the README promises of starts and ends: who waits for whom, and for how long."""
    for workload in workloads(objects):
        name, pod = workload["metadata"]["name"], pod_of(workload)
        # An actor hands over what it has, and a learner writes its last checkpoint.
        least = 120 if component(workload) == "learner" else 30
        if pod.get("terminationGracePeriodSeconds", 0) < least:
            yield f"{name}: has less than {least} s to end"
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = pod["containers"][0].get(probe, {})
            if asked and "exec" not in asked:
                yield f"{name}: {probe}: a bare connection is a warning in its log"
    learner = find(objects, "StatefulSet", "polyak-learner")
    alive = pod_of(learner)["containers"][0].get("livenessProbe", {})
    if alive.get("failureThreshold", 3) * alive.get("periodSeconds", 10) < 180:
        yield "the learner is killed after less than three minutes of silence"
    budget = find(objects, "PodDisruptionBudget", "polyak-learner")
    if not budget or budget["spec"].get("maxUnavailable") != 0:
        yield "the learner may be evicted"
    for service in of_kind(objects, "Service"):
        name, spec = service["metadata"]["name"], service["spec"]
        if component(service) == "learner" and not spec.get("publishNotReadyAddresses"):
            yield f"Service {name}: hides a learner that is not ready, which would say why"
        if component(service) == "relay" and spec.get("sessionAffinity") != "ClientIP":
            yield f"Service {name}: an actor's two connections may lead to two relays"
    if find(objects, "Deployment", "polyak-relay"):
        budget = find(objects, "PodDisruptionBudget", "polyak-relay")
        if not budget or budget["spec"].get("maxUnavailable") != 1:
            yield "all relays may be evicted at once"


def commands(objects):
    """The programs take their flags, also those of probes."""
    for workload in workloads(objects):
        name = workload["metadata"]["name"]
        container = pod_of(workload)["containers"][0]
        lines = {"args": command_of(workload, FIELDS)}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if "exec" in container.get(probe, {}):
                lines[probe] = container[probe]["exec"]["command"]
        for what, line in lines.items():
            if any("$(" in word for word in line):
                yield f"{name}: {what}: a variable is not set"
            yield from _refused(f"{name}: {what}", line)
        if component(workload) == "learner":
            if set(lines) != {"args", "startupProbe", "livenessProbe", "readinessProbe"}:
                yield "the learner has not all probes"
            if flag(lines["args"], "--resume") is None:
                yield "the learner does not resume"


def _refused(what, line):
    """Programs read their flags in order: --help ends what is fine up to there."""
    program = os.path.join(harness.BIN, line[0])
    if not shutil.which(program):
        yield f"{what}: there is no program {line[0]}"
        return
    words = [word for word in line[1:] if not word.startswith("--config=")]
    done = subprocess.run([program, *words, "--help"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        yield f"{what}: {done.stderr.strip()}"


def files(objects):
    """Every path on a command line is mounted; secrets have the owner and mode that are accepted."""
    for workload in workloads(objects):
        name, pod = workload["metadata"]["name"], pod_of(workload)
        container = pod["containers"][0]
        seen = mounted(objects, workload)
        places = {mount["mountPath"] for mount in container["volumeMounts"]}
        words = command_of(workload, FIELDS)
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            words = words + container.get(probe, {}).get("exec", {}).get("command", [])
        for path in re.findall(r"=(/[^ ,]+)", " ".join(words)):
            directory = any(path == place or path.startswith(place + "/data") for place in places)
            on_disk = path.startswith("/var/lib/polyak/") and "/var/lib/polyak" in places
            if path not in seen and not directory and not on_disk:
                yield f"{name}: nothing is mounted at {path}"
        claims = [claim["metadata"]["name"]
                  for claim in workload["spec"].get("volumeClaimTemplates", [])]
        known = claims + [volume["name"] for volume in pod["volumes"]]
        for mount in container["volumeMounts"]:
            if mount["name"] not in known:
                yield f"{name}: there is no volume {mount['name']}"
        for volume in pod["volumes"]:
            if manifests.files_of(objects, volume) is None:
                yield f"{name}: what fills the volume {volume['name']} is not there"
            if "secret" in volume and volume["secret"].get("defaultMode") != 0o440:
                yield f"{name}: the mode of its secrets is not 0440"
        if pod["securityContext"].get("fsGroup") != 10001:
            yield f"{name}: its secrets are not of its group"


def keys(objects):
    """Who dials is allowed, in the role it has, and knows the key of whom it dials."""
    for workload in workloads(objects):
        name, seen = workload["metadata"]["name"], mounted(objects, workload)
        command = command_of(workload, FIELDS)
        if component(workload) in manifests.DIALLERS:
            found, wrong = _dialled(objects, command)
            if wrong:
                yield f"{name}: {wrong}"
                continue
            yield from _known(objects, name, seen, command, found[0],
                              manifests.DIALLERS[component(workload)])
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = pod_of(workload)["containers"][0].get(probe, {}).get("exec")
            if asked:
                yield from _known(objects, f"{name}: {probe}", seen, asked["command"], workload,
                                  "observer")


def _field(text, name):
    match = re.search(rf"^{name} (.*)$", text or "", re.MULTILINE)
    return match and match[1]


def _known(objects, name, seen, command, target, role):
    own = _field(seen.get(flag(command, "--key")), "public")
    theirs = _field(seen.get(flag(command, "--learner-key")), "public")
    there, line = mounted(objects, target), command_of(target, FIELDS)
    if not own or not theirs or theirs != _field(there.get(flag(line, "--key")), "public"):
        yield f"{name}: has not its own key, or not that of whom it dials"
    allowed = flag(line, "--allowed-keys")
    roles = [_field(text, "roles").split(",") for path, text in there.items()
             if os.path.dirname(path) == allowed and _field(text, "public") == own]
    if not roles or role not in roles[0]:
        yield f"{name}: its key is not allowed as {role}"


ALL = (schemas, security, resources, selectors, ports, lives, commands, files, keys)


def complaints(objects, checks=ALL):
    return [complaint for check in checks for complaint in check(objects)]
