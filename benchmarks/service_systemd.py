"""`edgevc service` under a real systemd: a user's manager in namespaces of its own, and virtual sound devices.

    sudo python benchmarks/service_systemd.py

It installs the service, looks at it, kills it, stops its process (so that the watchdog must act), installs one that
cannot start, and removes it. Each step is a line; the exit code is 1 if one is not as it should be. It needs root (or
the right to make namespaces) and the packages systemd, dbus and pulseaudio. Outside of the namespaces some empty
control groups stay.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests"))

from helpers.pulse import virtual_sound  # noqa: E402

from edgevc.board.service import UNIT, WATCHDOG_S  # noqa: E402
from edgevc.children import edgevc_command  # noqa: E402
from edgevc.control.client import send_command  # noqa: E402

INSIDE = "EDGEVC_TEST_SYSTEMD"
"""Set in the namespaces: the folder of the home."""
# systemd says "not booted" unless the first folder is there
PREPARE = """
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/user/edgevc
chmod 700 /run/user/edgevc
"""
START_SECONDS = 20.0


def run(*words: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Return a program's exit code and what it said."""
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=240)
    return done.returncode, (done.stdout + done.stderr).strip()


class Service:
    """What systemd knows of the service; `ours` is the environment of the manager."""

    def __init__(self, ours: dict[str, str]) -> None:
        self.ours = ours

    def edgevc(self, *words: str) -> tuple[int, str]:
        """Run `edgevc service`."""
        return run(*edgevc_command("service", *words, "--user"), environment=self.ours)

    def __getattr__(self, name: str) -> str:
        """Return a property of the unit, such as MainPID."""
        words = ("systemctl", "--user", "show", UNIT, f"--property={name}", "--value")
        return run(*words, environment=self.ours)[1]

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until the condition holds; return whether it does."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            time.sleep(0.5)
        return True


def steps(service: Service, control: str) -> list[tuple[str, bool]]:
    """Go through the life of a service; return what was looked at, and whether it was right."""
    found = []

    def check(name: str, right: bool) -> None:
        found.append((name, right))
        print(f"{'ok  ' if right else 'BAD '} {name}", flush=True)

    live = ("--voice=slt", "--input=microphone", "--output=speaker", "--no-realtime")
    check("status before: it does not run (1)", service.edgevc("status")[0] == 1)
    check("install starts it", service.edgevc("install", *live)[0] == 0 and service.ActiveState == "active")
    check("status: it runs (0)", service.edgevc("status")[0] == 0)
    check("its state is told to systemd", service.until(lambda: service.StatusText.startswith("slt "), START_SECONDS))
    check("its control socket answers", send_command(control, "mode", "bypass") == {"ok": True, "mode": "bypass"})
    os.kill(int(service.MainPID), signal.SIGKILL)
    check("killed, it comes back", service.until(lambda: service.NRestarts == "1", START_SECONDS))
    check("and runs", service.until(lambda: service.ActiveState == "active", START_SECONDS))
    os.kill(int(service.MainPID), signal.SIGSTOP)
    check("standing still, it is started anew", service.until(lambda: service.NRestarts == "2", 3 * WATCHDOG_S))
    check("and runs again", service.until(lambda: service.ActiveState == "active", START_SECONDS))
    check("remove", service.edgevc("remove")[0] == 0 and service.LoadState == "not-found")
    check("a voice that is not there is refused (10)", service.edgevc("install", "--voice=nobody")[0] == 10)
    time.sleep(6)
    check("and is not tried again", (service.ActiveState, service.NRestarts) == ("failed", "0"))
    check("it is removed as well", service.edgevc("remove")[0] == 0 and service.LoadState == "not-found")
    left = list(Path(service.ours["XDG_CONFIG_HOME"]).rglob("edgevc*"))
    check("nothing is left", left == [])
    return found


def inside(home: str) -> int:
    """Run in the namespaces."""
    subprocess.run(["sh", "-ec", PREPARE], check=True)
    ours = {**os.environ, "HOME": home, "XDG_CONFIG_HOME": f"{home}/.config", "XDG_RUNTIME_DIR": "/run/user/edgevc"}
    ours.pop("DBUS_SESSION_BUS_ADDRESS", None)
    (Path(home) / ".config").mkdir()
    program = shutil.which("systemd") or "/lib/systemd/systemd"
    manager = subprocess.Popen([program, "--user", "--log-target=null"], env=ours)
    try:
        service = Service(ours)
        if not service.until(lambda: run("systemctl", "--user", "show-environment", environment=ours)[0] == 0, 10):
            print("systemd did not start here", file=sys.stderr)
            return 1
        with virtual_sound() as sound:
            ours_alone = {name: value for name, value in sound.environment.items() if name != "XDG_RUNTIME_DIR"}
            words = [f"{name}={value}" for name, value in ours_alone.items()]
            run("systemctl", "--user", "set-environment", *words, environment=ours)
            found = steps(service, "unix:/run/user/edgevc/edgevc.sock")
    finally:
        manager.kill()
        manager.wait()
    return int(not all(right for _, right in found))


def main() -> int:
    """Go into namespaces and do it there."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    home = os.environ.get(INSIDE)
    if home is not None:
        return inside(home)
    with tempfile.TemporaryDirectory() as folder:
        command = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--ipc", sys.executable, __file__]
        return subprocess.run(command, env={**os.environ, INSIDE: folder}).returncode


if __name__ == "__main__":
    sys.exit(main())
