"""What .dockerignore lets through is enough for the image's first stage, which the container test seldom
compiles: it configures, nothing that is compiled or installed is missing, and no key is in it."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

import harness

SOURCE = os.environ["POLYAK_SOURCE_DIR"]


def read(*names):
    with open(os.path.join(SOURCE, *names), encoding="utf-8") as file:
        return file.read()


def rules(text):
    """The lines of a .dockerignore: whether each lets through, and what it matches. A directory's rule is
    that of all below it."""
    found = []
    for line in text.splitlines():
        line = line.strip()
        if line and not line.startswith("#"):
            pattern = re.escape(line.lstrip("!").strip("/"))
            pattern = pattern.replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
            found.append((line.startswith("!"), re.compile(pattern + "(/.*)?")))
    return found


def passes(ruled, path):
    """The last rule that matches says it."""
    verdict = True
    for lets_through, pattern in ruled:
        if pattern.fullmatch(path):
            verdict = lets_through
    return verdict


class Context(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="polyak-context-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.copy = os.path.join(self.directory, "src")

    def fill(self, text):
        """The tree as the builder is sent it."""
        ruled = rules(text)
        for where, directories, files in os.walk(SOURCE):
            inner = os.path.relpath(where, SOURCE)
            inner = "" if inner == "." else inner + "/"
            directories[:] = [name for name in directories if passes(ruled, inner + name)]
            for name in files:
                if passes(ruled, inner + name):
                    target = os.path.join(self.copy, inner + name)
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    shutil.copy(os.path.join(where, name), target)

    def complaint(self):
        """What a build of the copy would lack; None when nothing is."""
        containerfile = read("deploy", "container", "Containerfile")
        for name in re.findall(r"^COPY (?!--from)(\S+) ", containerfile, re.MULTILINE):
            if not os.path.exists(os.path.join(self.copy, name)):
                return f"{name} is not there to be copied"
        flags = re.search(r"cmake -S \. -B /tmp/build (.*?) *\\", containerfile)[1].split()
        build = os.path.join(self.directory, "build")
        for command in (["cmake", "-S", self.copy, "-B", build, *flags], ["ninja", "-n", "-C", build]):
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  check=False)
            if done.returncode != 0:
                return done.stdout[-3000:]
        for where, _, files in os.walk(build):
            if "cmake_install.cmake" in files:
                with open(os.path.join(where, "cmake_install.cmake"), encoding="utf-8") as file:
                    for path in re.findall(rf'"({re.escape(self.copy)}/[^"]+)"', file.read()):
                        # Of a path with a variable, the directory.
                        if not os.path.exists(path.partition("/${")[0]):
                            return f"{path} is not there to be installed"
        return None

    def test_it_is_enough(self):
        self.fill(read(".dockerignore"))
        self.assertIsNone(self.complaint())

    def test_what_is_missing_is_seen(self):
        for left_out in ("net", "examples"):
            with self.subTest(left_out=left_out):
                shutil.rmtree(self.copy, ignore_errors=True)
                shutil.rmtree(os.path.join(self.directory, "build"), ignore_errors=True)
                text = read(".dockerignore")
                self.assertIn(f"!{left_out}\n", text)
                self.fill(text.replace(f"!{left_out}\n", ""))
                self.assertIn(left_out, self.complaint() or "")

    def test_keys_and_builds_stay_out(self):
        ruled = rules(read(".dockerignore"))
        for path in ("fleet.key", "deploy/kubernetes/overlays/laptop/keys/learner.key", "build/bin/polyak",
                     ".git/config", "tests/CMakeLists.txt", "common/__pycache__/a.pyc"):
            self.assertFalse(passes(ruled, path), path)
        self.assertTrue(passes(ruled, "common/log.c"))


if __name__ == "__main__":
    harness.main()
