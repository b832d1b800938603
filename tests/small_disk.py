"""A small file system of its own for a server, so that it can be full: seen only by processes that are put into it."""

import os
import subprocess

from harness import PATIENCE_S, program

# As another user one is root in a namespace of one's own, which may mount tmpfs but no image.
IS_ROOT = os.geteuid() == 0
KINDS = ["tmpfs", "ext4"] if IS_ROOT else ["tmpfs"]


class SmallDisk:
    """A file system of `megabytes`, mounted at `directory` in a namespace that a sleeping process holds."""

    def __init__(self, directory, kind, megabytes):
        directory.mkdir(parents=True)
        self.directory = directory
        if kind == "tmpfs":
            mount = f"mount -t tmpfs -o size={megabytes}m tmpfs '{directory}'"
        else:
            image = directory.with_suffix(".image")
            with open(image, "wb") as file:
                file.truncate(megabytes << 20)
            # Nothing is kept back for root, who runs the server here.
            subprocess.run([program("mkfs.ext4"), "-q", "-m", "0", image], check=True)
            mount = f"mount -o loop '{image}' '{directory}'"
        own = [] if IS_ROOT else ["--user", "--map-root-user"]
        self.holder = subprocess.Popen(
            ["unshare", *own, "--mount", "--propagation", "private", "sh", "-c", f"{mount} && echo mounted && exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        said = self.holder.stdout.readline()
        assert said == b"mounted\n", f"this test mounts a small {kind}, which is not permitted here: {said.decode()}"

    @property
    def prefix(self):
        """Runs a program where the file system is seen; its process id stays the program's."""
        own = [] if IS_ROOT else ["--user", "--preserve-credentials"]
        return ["nsenter", "-t", str(self.holder.pid), *own, "--mount"]

    def run(self, *command):
        done = subprocess.run(
            [*self.prefix, *map(str, command)], check=True, stdout=subprocess.PIPE, timeout=PATIENCE_S
        )
        return done.stdout.decode()

    def close(self):
        self.holder.stdin.close()
        self.holder.wait(PATIENCE_S)
        self.holder.stdout.close()
