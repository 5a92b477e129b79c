"""Lets systemd run `edgevc live`: the unit, and what installs, looks at and removes it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgevc.errors import ConfigError, OutputError, ServiceError

UNIT = "edgevc-live.service"
WATCHDOG_S = 20
_HOMES = (("/", "home"), ("/", "root"))
"""How paths begin that ProtectHome= hides, see systemd.exec(5)."""
SYSTEM_CONFIG = "/etc/edgevc/config.toml"

# Both kinds. What each line keeps away: systemd.exec(5).
_COMMON = f"""\
Type=notify
NotifyAccess=main
WatchdogSec={WATCHDOG_S}
# the first start checks the model on this machine, which takes a small board a minute
TimeoutStartSec=180
TimeoutStopSec=15
Restart=on-failure
RestartSec=2
# wrong settings (2), a damaged model (3) and a missing package (11) do not heal by themselves
RestartPreventExitStatus=2 3 11
LimitRTPRIO=60
LimitMEMLOCK=infinity
Environment=OMP_NUM_THREADS=1 XDG_CACHE_HOME=%C
CacheDirectory=edgevc
CacheDirectoryMode=0700
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@mount @swap @reboot @module @raw-io @obsolete @debug
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
"""

_SYSTEM = """\
DynamicUser=yes
SupplementaryGroups=audio
RuntimeDirectory=edgevc
StateDirectory=edgevc
WorkingDirectory=%S/edgevc
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
PrivateMounts=yes
# the sound cards and nothing else
DevicePolicy=closed
DeviceAllow=char-alsa rw
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RemoveIPC=yes
"""

_NO_NETWORK = """\
# the metrics and the control socket stay on this machine
IPAddressDeny=any
IPAddressAllow=localhost
"""


@dataclass(frozen=True)
class Scope:
    """Whose service it is."""

    user: bool
    """A user's own, with that user's PulseAudio or PipeWire; else the machine's, which opens the sound card itself."""

    @property
    def path(self) -> Path:
        """Where the unit lies."""
        if not self.user:
            return Path("/etc/systemd/system") / UNIT
        base = os.environ.get("XDG_CONFIG_HOME", "")
        folder = Path(base) if base and Path(base).is_absolute() else Path.home() / ".config"
        return folder / "systemd" / "user" / UNIT

    @property
    def option(self) -> str:
        """What systemctl is given."""
        return "--user" if self.user else "--system"


def unit_text(scope: Scope, arguments: Sequence[str] = (), python: str | None = None, *, network: bool = False) -> str:
    """Return the unit.

    Args:
        scope: whose it is.
        arguments: of `edgevc live`.
        python: path of the interpreter that has edgevc; this one where None.
        network: let other machines reach it, for metrics on any interface.
    """
    python = python or sys.executable
    source = Path(__file__).resolve().parents[2]
    if str(source) in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        # -I: a service starts in a home, whose files are not its modules; -u: words reach the journal at once
        start = [python, "-u", "-I", "-m", "edgevc"]
    else:
        # the same for a source tree or a user's packages: what -c puts first gives way before anything is imported
        code = f"import sys; sys.path[0] = {str(source)!r}; from edgevc.cli import main; sys.exit(main())"
        start = [python, "-u", "-c", code]
    command = [*start, "live", *arguments]
    lines = [
        "[Unit]",
        "Description=edgevc live voice conversion",
        "Documentation=man:systemd.service(5)",
        "After=" + ("pipewire.service pulseaudio.service" if scope.user else "sound.target"),
        # a sound card that is plugged in later is waited for, however long
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "ExecStart=" + " ".join(map(_quoted, command)),
        _COMMON.rstrip(),
    ]
    if not scope.user:
        # an environment in somebody's home must be readable
        in_home = any(path.parts[:2] in _HOMES for path in (Path(python).absolute(), source))
        lines.append(_SYSTEM.format(home="read-only" if in_home else "yes").rstrip())
        lines.append("" if network else _NO_NETWORK.rstrip())
        lines.append(f"Environment=EDGEVC_CONFIG={SYSTEM_CONFIG}" if Path(SYSTEM_CONFIG).is_file() else "")
    lines += ["", "[Install]", "WantedBy=" + ("default.target" if scope.user else "multi-user.target")]
    # an empty line stands before a heading only
    kept = [line for i, line in enumerate(lines) if line or lines[i + 1].startswith("[")]
    return "\n".join(kept) + "\n"


def _quoted(word: str) -> str:
    """Quote a word as systemd.service(5) wants it; % and $ mean themselves."""
    if any(ord(character) < 32 for character in word):
        raise ConfigError(f"a service's argument must be one line of text, got {word!r}; leave the odd character out")
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{word}"' if not word or any(character in word for character in " \\\"';$%#") else word


def install(scope: Scope, text: str, *, start: bool = True) -> Path:
    """Write the unit `text`, let systemd read it, and start the service now and at every boot or login.

    Raises:
        ServiceError: systemd is not there or refuses.
        OutputError: the unit cannot be written.
    """
    _require_systemctl(scope)
    path = scope.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".edgevc-", delete=False) as file:
            file.write(text)
        Path(file.name).chmod(0o644)
        Path(file.name).replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    _systemctl(scope, "daemon-reload")
    _systemctl(scope, "enable", UNIT)
    if start:
        # an installed service takes the new unit
        _systemctl(scope, "restart", UNIT)
    return path


def remove(scope: Scope) -> bool:
    """Stop the service and take its unit away; return whether there was one.

    Raises:
        ServiceError: systemd is not there or refuses.
    """
    _require_systemctl(scope)
    if not scope.path.exists():
        return False
    _systemctl(scope, "disable", "--now", UNIT)
    try:
        scope.path.unlink()
    except OSError as error:
        raise _cannot_write(scope.path, error) from error
    _systemctl(scope, "daemon-reload")
    with contextlib.suppress(ServiceError):
        _systemctl(scope, "reset-failed", UNIT)
    return True


def status(scope: Scope) -> tuple[bool, str]:
    """Return whether the service runs, and what systemd says of it.

    Raises:
        ServiceError: systemd is not there.
    """
    _require_systemctl(scope, root=False)
    done = _call(scope, "status", "--no-pager", "--lines=5", UNIT)
    return done.returncode == 0, (done.stdout + done.stderr).rstrip()


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {error.strerror}; check its folder, or use --print and place it yourself")


def _require_systemctl(scope: Scope, *, root: bool = True) -> None:
    if shutil.which("systemctl") is None:
        raise ServiceError("this machine has no systemd; use `edgevc service install --print` as a pattern for its own")
    if root and not scope.user and os.geteuid() != 0:
        raise ServiceError("a service of the machine is installed by root; use sudo, or --user for your own")


def _systemctl(scope: Scope, *words: str) -> None:
    done = _call(scope, *words)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
        raise ServiceError(
            f"systemctl {scope.option} {' '.join(words)} must succeed, it said: {said}; "
            f"see journalctl {scope.option} -u {UNIT}"
        )


def _call(scope: Scope, *words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603
            [shutil.which("systemctl") or "systemctl", scope.option, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceError(f"systemctl cannot be used: {error}; look at the machine's systemd") from error
