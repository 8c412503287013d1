"""Pods without a cluster: what a kubelet would make of a manifest, run by crun.

Each pod has a network namespace of its own, with a cable to one bridge; users, rights, root file system,
volumes, their owners and modes, environment and seccomp are those of the manifest. What there is not:
cgroups, so no limits on memory and processors; network policies; a scheduler.
"""

import json
import os
import platform
import signal
import subprocess
import sys

import harness
import manifests

SECCOMP = "/usr/share/containers/seccomp.json"  # what RuntimeDefault means to CRI-O
BRIDGE = "polyak0"
NETWORK = "10.77.0"


def enter_own_mounts():
    """Goes on in a mount namespace without /sys/fs/cgroup: crun refuses the one that has both versions,
    also where it is told to use none."""
    if os.environ.get("POLYAK_OWN_MOUNTS"):
        return
    os.environ["POLYAK_OWN_MOUNTS"] = "1"
    script = 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"'
    os.execvp("unshare", ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, *sys.argv])


def run(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def _default_seccomp():
    """The default profile of containers, in the words of the OCI, for a process without capabilities."""
    if not os.path.exists(SECCOMP):
        return None
    with open(SECCOMP, encoding="utf-8") as file:
        profile = json.load(file)
    rules = []
    for rule in profile["syscalls"]:
        includes, excludes = rule.get("includes", {}), rule.get("excludes", {})
        if includes.get("caps") or "amd64" in excludes.get("arches", []):
            continue
        if "amd64" not in includes.get("arches", ["amd64"]):
            continue
        taken = {key: rule[key] for key in ("names", "action", "errnoRet") if key in rule}
        if rule.get("args"):
            taken["args"] = rule["args"]
        rules.append(taken)
    known = {key: profile[key] for key in ("defaultAction", "defaultErrnoRet") if key in profile}
    return dict(known, architectures=["SCMP_ARCH_X86_64"], syscalls=rules)


class Cluster:
    """Pods of the rendered objects. `image` is the configuration of the image, as buildah tells it."""

    def __init__(self, directory, rootfs, image, objects):
        self.directory, self.rootfs, self.image, self.objects = directory, rootfs, image, objects
        self.seccomp = _default_seccomp() if platform.machine() == "x86_64" else None
        self.name = f"polyak-{os.getpid()}"
        self.addresses = {}  # by the name of the pod
        self.pods = []
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "add", BRIDGE, "type", "bridge")
        run("ip", "-n", self.name, "link", "set", BRIDGE, "up")
        for workload in manifests.workloads(objects):
            self.namespace(f"{workload['metadata']['name']}-0")  # so that all names are known

    def close(self):
        for pod in self.pods:
            pod.remove()
        for name in [self.name, *(f"{self.name}-{name}" for name in self.addresses)]:
            run("ip", "netns", "del", name)

    def namespace(self, name):
        """The network of the pod of this name, which keeps it when it is started again."""
        netns = f"{self.name}-{name}"
        if name in self.addresses:
            return netns
        number = len(self.addresses) + 2
        self.addresses[name] = f"{NETWORK}.{number}"
        run("ip", "netns", "add", netns)
        run("ip", "-n", self.name, "link", "add", f"pod{number}", "type", "veth",
            "peer", "name", "eth0", "netns", netns)
        run("ip", "-n", self.name, "link", "set", f"pod{number}", "master", BRIDGE, "up")
        run("ip", "-n", netns, "address", "add", f"{NETWORK}.{number}/24", "dev", "eth0")
        run("ip", "-n", netns, "link", "set", "eth0", "up")
        run("ip", "-n", netns, "link", "set", "lo", "up")
        return netns

    def hosts(self):
        """A file in the place of DNS: each Service by the address of the pod that it selects."""
        path = os.path.join(self.directory, "hosts")
        with open(path, "w", encoding="utf-8") as file:
            file.write("127.0.0.1 localhost\n")
            for service in manifests.of_kind(self.objects, "Service"):
                for workload in manifests.workloads(self.objects):
                    selected = manifests.selects({"matchLabels": service["spec"]["selector"]},
                                                 manifests.labels_of(workload))
                    address = self.addresses.get(f"{workload['metadata']['name']}-0")
                    if selected and address:
                        file.write(f"{address} {service['metadata']['name']}\n")
        return path

    def find(self, kind, name):
        return manifests.find(self.objects, kind, name)

    def start(self, workload, number=0, command=None):
        """Starts the pod of a workload, with another command where one is given."""
        pod = Pod(self, workload, f"{workload['metadata']['name']}-{number}", command)
        self.pods.append(pod)
        return pod


class Pod:
    _count = 0

    def __init__(self, cluster, workload, name, command):
        Pod._count += 1
        self.cluster, self.name, self.workload = cluster, name, workload
        self.id = f"{cluster.name}-{Pod._count}"
        self.bundle = os.path.join(cluster.directory, "bundles", self.id)
        self.context = manifests.pod_of(workload)["securityContext"]
        os.makedirs(self.bundle)
        fields = {"metadata.name": name, "spec.nodeName": "node-7.example.com"}
        args = command or manifests.command_of(workload, fields)
        with open(os.path.join(self.bundle, "config.json"), "w", encoding="utf-8") as file:
            json.dump(self._config(args, manifests.environment_of(workload, fields)), file)
        self.program = harness.Program(self.bundle, [*self._crun(), "run", "--bundle", self.bundle,
                                                     self.id], None)

    def _crun(self):
        return ["crun", "--cgroup-manager=disabled",
                "--root", os.path.join(self.cluster.directory, "crun")]

    def _config(self, args, environment):
        image, user = self.cluster.image, self.context["runAsUser"]
        container = manifests.pod_of(self.workload)["containers"][0]
        variables = image["Env"] + [f"{key}={value}" for key, value in environment.items()]
        linux = {"namespaces": [{"type": kind} for kind in ("mount", "pid", "ipc", "uts")]}
        netns = self.cluster.namespace(self.name)
        linux["namespaces"].append({"type": "network", "path": f"/run/netns/{netns}"})
        if self.cluster.seccomp:
            linux["seccomp"] = self.cluster.seccomp
        mounts = [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            self._bind(self.cluster.hosts(), "/etc/hosts", True)]
        for mount in container["volumeMounts"]:
            mounts.append(self._bind(self._volume(mount["name"]), mount["mountPath"],
                                     mount.get("readOnly", False)))
        return {
            "ociVersion": "1.0.2", "hostname": self.name, "mounts": mounts, "linux": linux,
            "root": {"path": self.cluster.rootfs,
                     "readonly": container["securityContext"]["readOnlyRootFilesystem"]},
            "process": {
                "args": args, "env": variables, "cwd": image["WorkingDir"], "capabilities": {},
                "noNewPrivileges": not container["securityContext"]["allowPrivilegeEscalation"],
                "user": {"uid": user, "gid": self.context["runAsGroup"],
                         "additionalGids": [self.context["fsGroup"]]}}}

    @staticmethod
    def _bind(source, destination, read_only):
        return {"source": source, "destination": destination, "type": "bind",
                "options": ["bind", "nosuid", "nodev", "ro" if read_only else "rw"]}

    def _volume(self, name):
        """A directory as the kubelet fills it."""
        group = self.context["fsGroup"]
        volumes = {volume["name"]: volume for volume in manifests.pod_of(self.workload)["volumes"]}
        volume = volumes.get(name)
        if volume is None:  # a claim: it outlives the pod
            path = os.path.join(self.cluster.directory, f"claim-{self.name}")
            os.makedirs(path, exist_ok=True)
            os.chown(path, 0, group)
            os.chmod(path, 0o2775)
            return path
        path = os.path.join(self.bundle, name)
        os.mkdir(path)
        if "emptyDir" in volume:
            os.chmod(path, 0o777)
            return path
        # The files lie in a directory that a link names, so that all change at once.
        mode = volume.get("secret", volume.get("configMap")).get("defaultMode", 0o644)
        data = os.path.join(path, "..1")
        os.mkdir(data)
        os.chmod(data, 0o2775)
        os.chown(data, 0, group)
        os.symlink("..1", os.path.join(path, "..data"))
        for file_name, text in manifests.files_of(self.cluster.objects, volume).items():
            with open(os.path.join(data, file_name), "w", encoding="utf-8") as file:
                file.write(text)
            os.chown(file.name, 0, group)
            os.chmod(file.name, mode)
            os.symlink(f"..data/{file_name}", os.path.join(path, file_name))
        return path

    def probe(self, which, *more):
        """Runs the command of a probe within the pod: exit code and what it said."""
        container = manifests.pod_of(self.workload)["containers"][0]
        environment = [word for variable in self.cluster.image["Env"] for word in ("--env", variable)]
        done = subprocess.run([*self._crun(), "exec", *environment, self.id,
                               *container[which]["exec"]["command"], *more],
                              capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    def terminate(self):
        """SIGTERM to the first process, as when a pod is deleted; waits for the end."""
        run(*self._crun(), "kill", self.id, str(int(signal.SIGTERM)))
        return self.program.end()

    def remove(self):
        subprocess.run([*self._crun(), "delete", "--force", self.id], check=False,
                       stderr=subprocess.DEVNULL)
        self.program.popen.wait()
