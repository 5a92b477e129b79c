"""A relay as a process of its own, told commands through its stdin."""

import contextlib
import json
import subprocess
import threading

from helpers.broker import PASSWORD, USER, wait_for
from helpers.command_line import start


class RelayProcess:
    """`edgevc relay --events` with a broker; what it says is kept."""

    def __init__(self, folder, broker, *flags, time_to_live=600, **options):
        config = folder / "config.toml"
        config.write_text(f'[mqtt]\nusername = "{USER}"\npassword = "{PASSWORD}"\n')
        config.chmod(0o600)
        if broker is not None:
            queue = folder / "queue.sqlite"
            flags = ("--mqtt-host=127.0.0.1", f"--mqtt-port={broker.port}", f"--mqtt-queue={queue}", *flags)
        self.process = start(
            *("-v", "relay", "--events", "--config", config, "--device=pi", f"--time-to-live={time_to_live}", *flags),
            stdin=subprocess.PIPE,
            **options,
        )
        self.said = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.said.append(line.decode())

    @property
    def text(self):
        return "".join(self.said)

    def tell(self, *numbers):
        self.say(*({"command": "light", "slots": {"n": str(n)}, "id": f"{n:06d}"} for n in numbers))

    def say(self, *events):
        self.process.stdin.write("".join(f"{json.dumps(event)}\n" for event in events).encode())
        self.process.stdin.flush()

    def wait_for(self, words):
        wait_for(f"{words!r} in {self.text}", lambda: words in self.text)

    def end(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        code = self.process.wait(200)
        self._join()
        assert "Traceback" not in self.text
        assert code == 0, self.text
        return self.text

    def kill(self):
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self._join()

    def _join(self):
        self._reader.join()
        self.process.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()
