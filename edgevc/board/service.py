"""Lets systemd run `edgevc live`: the unit, and what installs, looks at and removes it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgevc.errors import ConfigError, OutputError, ServiceError
from edgevc.files import config_dir, write_atomic

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
        """Where the unit lies.

        Raises:
            ServiceError: it is a user's, who has no home.
        """
        if not self.user:
            return Path("/etc/systemd/system") / UNIT
        folder = config_dir()
        if folder is None:
            raise ServiceError("a user's service needs a home; set HOME, or use --system")
        return folder.parent / "systemd" / "user" / UNIT

    @property
    def target(self) -> str:
        """With which it starts."""
        return "default.target" if self.user else "multi-user.target"

    @property
    def wanted(self) -> Path:
        """The link that systemd makes of an enabled service."""
        return self.path.with_name(f"{self.target}.wants") / UNIT

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
    lines += ["", "[Install]", f"WantedBy={scope.target}"]
    # an empty line stands before a heading only
    kept = [line for i, line in enumerate(lines) if line or lines[i + 1].startswith("[")]
    return "\n".join(kept) + "\n"


def _quoted(word: str) -> str:
    """Quote a word as systemd.service(5) wants it; % and $ mean themselves."""
    # a surrogate stands for a byte that is no UTF-8, which a unit cannot hold
    if any(ord(character) < 32 or "\ud800" <= character <= "\udfff" for character in word):
        raise ConfigError(
            f"a service's words must be one line of UTF-8, got {word!r}; rename the folder, or leave the character out"
        )
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{word}"' if not word or any(character in word for character in " \\\"';$%#") else word


def install(scope: Scope, text: str, *, start: bool = True) -> Path:
    """Write the unit `text`, let systemd read it, and start the service now and at every boot or login.

    Where systemd does not take the unit, everything is as it was before. A service that is enabled and does not start
    stays, so that its journal can be read.

    Raises:
        ServiceError: systemd is not there, does not run, or refuses.
        OutputError: the unit cannot be written.
    """
    _require_root(scope)
    _require_running(scope)
    path = scope.path
    before = _read(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode())
        path.chmod(0o644)
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        _systemctl(scope, "daemon-reload")
        _systemctl(scope, "enable", UNIT)
    except ServiceError:
        _put_back(scope, before)
        raise
    if start:
        # an installed service takes the new unit
        _systemctl(scope, "restart", UNIT)
    return path


def remove(scope: Scope) -> tuple[bool, str | None]:
    """Stop the service and take its unit away, whatever systemd says.

    Returns:
        Whether there was a unit, and why systemd could not be told, None where it was.

    Raises:
        ServiceError: only root may, or there is no home.
        OutputError: the unit cannot be deleted.
    """
    _require_root(scope)
    path = scope.path
    if not path.exists() and not path.is_symlink():
        return False, None
    trouble = None
    try:
        _require_running(scope)
        _systemctl(scope, "disable", "--now", UNIT)
    except ServiceError as error:
        trouble = str(error)
    try:
        path.unlink()
        # what `enable` made; `disable` has removed it where it could
        scope.wanted.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error
    if trouble is None:
        try:
            _systemctl(scope, "daemon-reload")
        except ServiceError as error:
            trouble = str(error)
        with contextlib.suppress(ServiceError):
            _systemctl(scope, "reset-failed", UNIT)
    return True, trouble


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _cannot_write(path, error) from error


def _put_back(scope: Scope, before: bytes | None) -> None:
    """Leave the unit as it was before an installation that failed."""
    with contextlib.suppress(OSError, OutputError, ServiceError):
        if before is None:
            scope.path.unlink()
            scope.wanted.unlink(missing_ok=True)
        else:
            write_atomic(scope.path, before)
        _systemctl(scope, "daemon-reload")


def status(scope: Scope) -> tuple[bool, str]:
    """Return whether the service runs, and what systemd says of it.

    Raises:
        ServiceError: systemd is not there, or does not run.
    """
    _require_running(scope)
    done = _call(scope, "status", "--no-pager", "--lines=5", UNIT)
    return done.returncode == 0, (done.stdout + done.stderr).rstrip()


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {error.strerror}; check its folder, or use --print and place it yourself")


def _require_root(scope: Scope) -> None:
    if not scope.user and os.geteuid() != 0:
        raise ServiceError("a service of the machine is installed by root; use sudo, or --user for your own")


def _require_running(scope: Scope) -> None:
    """Ask systemd for its version: systemctl may be there without it, as in a container."""
    hint = "use `edgevc service install --print` as a pattern for what runs services here"
    if shutil.which("systemctl") is None:
        raise ServiceError(f"this machine has no systemd; {hint}")
    done = _call(scope, "show", "--property=Version")
    if done.returncode != 0:
        whose = "your" if scope.user else "the machine's"
        said = _words_of(done)
        raise ServiceError(f"{whose} systemd must run, systemctl {scope.option} says: {said}; log in anew, or {hint}")


def _words_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a program said, in one line without a full stop."""
    return " ".join((done.stderr or done.stdout).split()).rstrip(".") or f"exit status {done.returncode}"


def _systemctl(scope: Scope, *words: str) -> None:
    done = _call(scope, *words)
    if done.returncode != 0:
        raise ServiceError(
            f"systemctl {scope.option} {' '.join(words)} must succeed, it said: {_words_of(done)}; "
            f"see journalctl {scope.option} -u {UNIT}"
        )


def _call(scope: Scope, *words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603
            [shutil.which("systemctl") or "systemctl", scope.option, *words],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=200,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceError(f"systemctl cannot be used: {error}; look at the machine's systemd") from error
