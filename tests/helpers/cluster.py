"""A storage service and a Ray cluster of several machines, on one machine: network namespaces stand for them."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

BRIDGE = "edgevc-br"
SUBNET = "10.203.7"
SCRIPTS = Path(sys.executable).parent


def wait_for(what, seconds, condition):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {seconds} s")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def s3_environment(endpoint):
    """What S3's clients read; the service asks for some key, whichever it is."""
    return {
        **os.environ,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DISABLE_DOCKER_CPU_WARNING": "1",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "5" * 64,
    }


@contextlib.contextmanager
def s3_service(host="127.0.0.1", log=subprocess.DEVNULL):
    """Run an S3-compatible service; yields its address. `log`: a file that gets a line for each request."""
    port = free_port()
    process = subprocess.Popen(
        [SCRIPTS / "moto_server", "-H", host, "-p", str(port)], stdout=subprocess.DEVNULL, stderr=log
    )
    address = f"http://{host}:{port}"

    def answers():
        assert process.poll() is None
        try:
            with urllib.request.urlopen(f"{address}/moto-api/", timeout=2):
                return True
        except OSError:
            return False

    try:
        wait_for("the storage service", 120, answers)
        yield address
    finally:
        process.kill()
        process.wait()


def run(*words, **options):
    return subprocess.run(list(map(str, words)), check=True, capture_output=True, text=True, **options)


class Machine:
    """A network namespace with an address of its own, and the Ray node that runs in it."""

    def __init__(self, number, folder, environment):
        self.name = f"edgevc-{number}"
        self.address = f"{SUBNET}.{10 + number}"
        # every machine has its sockets and logs to itself
        self.folder = folder / self.name
        self.folder.mkdir()
        self.environment = {**environment, "RAY_TMPDIR": str(self.folder)}
        self.process = None
        inside, outside = f"edgevc-i{number}", f"edgevc-o{number}"
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", outside, "type", "veth", "peer", "name", inside, "netns", self.name)
        run("ip", "link", "set", outside, "master", BRIDGE, "up")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "addr", "add", f"{self.address}/24", "dev", inside)
        self.run("ip", "link", "set", inside, "up")

    def command(self, *words):
        return ["ip", "netns", "exec", self.name, *map(str, words)]

    def run(self, *words):
        return run(*self.command(*words), env=self.environment)

    def start_ray(self, head=None, cores=1):
        """Start a node; `head` is the first machine, None for that one itself."""
        place = ["--head", "--port=6399", "--include-dashboard=false"] if head is None else [f"--address={head}:6399"]
        # the object store is in memory: small, since a task's result is a few kilobytes
        size = ["--object-store-memory=100000000", f"--num-cpus={cores}", f"--node-ip-address={self.address}"]
        temporary = ["--temp-dir", str(self.folder)] if head is None else []
        with (self.folder / "out.txt").open("w") as out:
            self.process = subprocess.Popen(
                self.command(SCRIPTS / "ray", "start", "--block", "--disable-usage-stats", *place, *size, *temporary),
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_ready(self):
        out = self.folder / "out.txt"
        wait_for(f"the node {self.name}", 120, lambda: "Ray runtime started" in out.read_text())

    def processes(self):
        found = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=False)
        return [int(word) for word in found.stdout.split()]

    def kill(self):
        """As when somebody pulls the plug."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)

    def remove(self):
        self.kill()
        if self.process is not None:
            self.process.wait()
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def machines(count, folder, environment):
    """Connected machines; and this one, as .1 of their network."""
    subprocess.run(["ip", "link", "del", BRIDGE], capture_output=True, check=False)
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    made = []
    try:
        run("ip", "addr", "add", f"{SUBNET}.1/24", "dev", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")
        for number in range(count):
            subprocess.run(["ip", "netns", "del", f"edgevc-{number}"], capture_output=True, check=False)
            made.append(Machine(number, folder, environment))
        yield made
    finally:
        for machine in made:
            machine.remove()
        subprocess.run(["ip", "link", "del", BRIDGE], capture_output=True, check=False)
