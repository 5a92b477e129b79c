"""The systemd service: what systemd itself says of the unit, a fake systemctl, and a fake NOTIFY_SOCKET."""

import dataclasses
import os
import pwd
import shlex
import socket
import subprocess
import sys
import threading
import time
import typing

import pytest

from edgevc import cli
from edgevc.board import service
from edgevc.board.service import Scope
from edgevc.live.stats import LiveStats
from edgevc.monitoring.systemd import Notifier, told_to_systemd

RUNNING = LiveStats(state="running", voice="slt", hops=5)
LIMIT_S = 10


@pytest.fixture
def systemctl(tmp_path, monkeypatch):
    """A systemctl that writes down what it is asked, and fails for the word in the file `fails`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "systemctl"
    script.write_text(
        "#!/bin/sh\n"
        # whether systemd runs is asked before anything else, and is no part of what is done
        f'[ "$2" = show ] || echo "$@" >> {tmp_path}/asked\n'
        f'case " $* " in *" $(cat {tmp_path}/fails 2>/dev/null || echo nothing) "*)\n'
        '  printf "Unit not found.\\nSee the rest.\\n" >&2; exit 4;;\n'
        "esac\n"
        "echo active\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    class Fake:
        unit = tmp_path / "config" / "systemd" / "user" / "edgevc-live.service"

        @staticmethod
        def asked():
            path = tmp_path / "asked"
            return path.read_text().splitlines() if path.exists() else []

        @staticmethod
        def fail(word):
            (tmp_path / "fails").write_text(word)

    return Fake


def lines(text):
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


def test_the_unit_restarts_is_watched_and_runs_live():
    for user in (True, False):
        unit = lines(service.unit_text(Scope(user), ["--voice=slt"], "/opt/venv/bin/python"))
        assert shlex.split(unit["ExecStart"])[:2] == ["/opt/venv/bin/python", "-u"]
        assert shlex.split(unit["ExecStart"])[-2:] == ["live", "--voice=slt"]
        assert unit["Type"] == "notify"
        assert unit["Restart"] == "on-failure"
        assert unit["RestartPreventExitStatus"] == "2 3 11"
        assert float(unit["WatchdogSec"]) > 0
        assert unit["NoNewPrivileges"] == "yes"
        assert unit["LimitRTPRIO"] == "60"


def test_words_are_quoted_as_systemd_reads_them():
    text = service.unit_text(Scope(user=True), ["--input=USB* 50%", "--eq=", "--voice=$a'\"\\"], "/usr/bin/python3")
    assert r'''live "--input=USB* 50%%" --eq= "--voice=$$a'\"\\"''' in text


def test_an_environment_in_a_home_can_be_read_and_others_hide_the_homes(monkeypatch):
    # these tests may themselves run in a home
    monkeypatch.setattr(service, "__file__", "/opt/edgevc/lib/edgevc/board/service.py")
    assert "ProtectHome=read-only" in service.unit_text(Scope(user=False), (), "/home/pi/venv/bin/python")
    assert "ProtectHome=yes" in service.unit_text(Scope(user=False), (), "/homes/pi/venv/bin/python")
    assert "ProtectSystem=strict" in service.unit_text(Scope(user=False))
    assert "ProtectSystem=strict" not in service.unit_text(Scope(user=True))


def test_the_network_is_closed_unless_metrics_shall_be_reached():
    assert "IPAddressDeny=any" in service.unit_text(Scope(user=False))
    assert "IPAddressDeny" not in service.unit_text(Scope(user=False), network=True)


@pytest.mark.parametrize("user", [True, False])
def test_systemd_reads_the_unit_without_a_word(tmp_path, user):
    # `verify` looks for the name among the machine's own units, so it gets another one
    path = tmp_path / "edgevc-live-under-test.service"
    path.write_text(service.unit_text(Scope(user), ["--voice=slt", "--input=USB* 50%"]))
    option = "--user" if user else "--system"
    done = subprocess.run(
        ["systemd-analyze", option, "verify", str(path)],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        timeout=60,
    )
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "under-test" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def test_systemd_finds_little_exposed(tmp_path):
    path = tmp_path / "edgevc-live-under-test.service"
    path.write_text(service.unit_text(Scope(user=False)))
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    # 1.6 of 10 when this was written; the threshold is in tenths
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_install_writes_the_unit_and_starts_it(systemctl, capsys):
    assert cli.main(["service", "install", "--user", "--voice", "slt", "--no-realtime", "--gain", "-3"]) == 0
    assert systemctl.asked() == [
        "--user daemon-reload",
        "--user enable edgevc-live.service",
        "--user restart edgevc-live.service",
    ]
    text = systemctl.unit.read_text()
    assert f"ExecStart={sys.executable} -u " in text
    assert text.split("ExecStart=")[1].split("\n")[0].endswith(" live --voice=slt --no-realtime --gain=-3")
    assert systemctl.unit.stat().st_mode & 0o777 == 0o644
    assert "journalctl --user -u edgevc-live.service" in capsys.readouterr().out


def test_the_installed_options_are_read_back_as_the_same_settings(systemctl, tmp_path):
    import argparse

    from edgevc.live.settings import LIVE

    given = ["--record", "/a b.wav", "/c.wav", "--eq", "200:-3", "--gain", "-3", "--no-feedback-guard", "--realtime"]
    parser = argparse.ArgumentParser()
    LIVE.add_arguments(parser)
    before = parser.parse_args(given)
    after = parser.parse_args(LIVE.given_flags(before))
    assert LIVE.resolve(after) == LIVE.resolve(before)


def test_a_wrong_setting_is_refused_before_anything_is_installed(systemctl, capsys):
    assert cli.main(["service", "install", "--user", "--block-ms", "1"]) == 2
    assert "2.5..100" in capsys.readouterr().err
    assert systemctl.asked() == []
    assert not systemctl.unit.exists()


def test_print_shows_the_unit_and_touches_nothing(systemctl, capsys):
    assert cli.main(["service", "install", "--system", "--print"]) == 0
    assert capsys.readouterr().out.startswith("[Unit]\n")
    assert systemctl.asked() == []


def test_no_start_only_enables(systemctl):
    assert cli.main(["service", "install", "--user", "--no-start"]) == 0
    assert not any("restart" in line for line in systemctl.asked())


def test_status_shows_what_systemd_says(systemctl, capsys):
    assert cli.main(["service", "status", "--user"]) == 0
    assert capsys.readouterr().out == "active\n"
    systemctl.fail("status")
    assert cli.main(["service", "status", "--user"]) == 1
    assert "Unit not found" in capsys.readouterr().out
    assert cli.main(["service", "status", "--user", "--voice", "slt"]) == 2


def test_remove_takes_everything_away(systemctl, capsys):
    assert cli.main(["service", "remove", "--user"]) == 0
    assert "no service is installed" in capsys.readouterr().out
    cli.main(["service", "install", "--user"])
    assert cli.main(["service", "remove", "--user"]) == 0
    assert not systemctl.unit.exists()
    assert "--user disable --now edgevc-live.service" in systemctl.asked()


def test_a_refusal_of_systemd_is_passed_on_with_a_next_step(systemctl, capsys):
    systemctl.fail("restart")
    assert cli.main(["service", "install", "--user"]) == 10
    err = capsys.readouterr().err
    assert "it said: Unit not found. See the rest; see journalctl" in err
    assert err.count("\n") == 1
    assert "journalctl --user -u edgevc-live.service" in err


def test_a_machine_without_systemd_is_told_about_print(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for action in ("install", "status"):
        assert cli.main(["service", action, "--user"]) == 10
        assert "--print" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("word", ["show", "daemon-reload", "enable"])
def test_an_installation_that_systemd_does_not_take_leaves_nothing(systemctl, word, capsys):
    systemctl.fail(word)
    assert cli.main(["service", "install", "--user"]) == 10
    assert capsys.readouterr().err.count("\n") == 1
    assert not systemctl.unit.exists()
    assert not list(systemctl.unit.parent.parent.rglob("*.service"))
    assert (word == "show") == (not systemctl.unit.parent.exists())


def test_an_installation_that_fails_puts_the_unit_before_it_back(systemctl):
    assert cli.main(["service", "install", "--user", "--voice", "slt"]) == 0
    before = systemctl.unit.read_text()
    systemctl.fail("enable")
    assert cli.main(["service", "install", "--user", "--voice", "bdl"]) == 10
    assert systemctl.unit.read_text() == before


@pytest.mark.parametrize("word", ["show", "disable", "daemon-reload", "nothing"])
def test_remove_takes_the_unit_away_whatever_systemd_says(systemctl, word, capsys):
    cli.main(["service", "install", "--user"])
    wanted = systemctl.unit.parent / "default.target.wants" / systemctl.unit.name
    wanted.parent.mkdir()
    wanted.symlink_to(systemctl.unit)
    systemctl.fail(word)
    capsys.readouterr()
    assert cli.main(["service", "remove", "--user"]) == 0
    assert not systemctl.unit.exists()
    assert not wanted.is_symlink()
    said = capsys.readouterr()
    assert said.out == f"{systemctl.unit} removed\n"
    assert said.err.startswith("edgevc: systemd could not be told") == (word != "nothing")
    assert cli.main(["service", "remove", "--user"]) == 0
    assert "no service is installed" in capsys.readouterr().out


def test_a_unit_is_removed_where_there_is_no_systemctl_any_more(systemctl, monkeypatch, tmp_path, capsys):
    cli.main(["service", "install", "--user"])
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert cli.main(["service", "remove", "--user"]) == 0
    assert not systemctl.unit.exists()
    assert "this machine has no systemd" in capsys.readouterr().err


def test_status_tells_a_service_that_does_not_run_from_a_systemd_that_does_not(systemctl, capsys):
    systemctl.fail("show")
    assert cli.main(["service", "status", "--user"]) == 10
    said = capsys.readouterr()
    assert said.out == ""
    assert "your systemd must run, systemctl --user says: Unit not found. See the rest; log in anew" in said.err


def test_nobody_without_a_home_has_a_service(monkeypatch, systemctl, capsys):
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.delenv("HOME")

    def unknown(_):
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for action in ("install", "remove"):
        assert cli.main(["service", action, "--user"]) == 10
        assert capsys.readouterr().err == "edgevc: a user's service needs a home; set HOME, or use --system\n"
    assert cli.main(["service", "install", "--user", "--print"]) == 0


@pytest.mark.parametrize("place", ["python", "argument"])
def test_a_path_that_is_no_utf_8_is_refused_and_leaves_nothing(systemctl, monkeypatch, place, capsys):
    odd = "/opt/caf\udce9/bin/python"
    if place == "python":
        monkeypatch.setattr(sys, "executable", odd)
        arguments = []
    else:
        arguments = ["--backing", odd]
    assert cli.main(["service", "install", "--user", *arguments]) == 2
    assert "must be one line of UTF-8, got" in capsys.readouterr().err
    assert not systemctl.unit.parent.exists()


@pytest.mark.parametrize("folder", ["a $HOME", "50%", 'quo"te', "back\\slash", "ümlaut", "tick'"])
def test_odd_folders_of_a_source_tree_arrive_as_they_are(tmp_path, folder, monkeypatch):
    # ExecStart= knows $ and %, Environment= only %: so nothing that is not ours may stand in an Environment= line
    monkeypatch.setattr(service, "__file__", f"/srv/{folder}/edgevc/board/service.py")
    text = service.unit_text(Scope(user=True), [f"--backing=/srv/{folder}/x.wav"], f"/srv/{folder}/python")
    assert [line for line in text.splitlines() if line.startswith("Environment=")] == [
        "Environment=OMP_NUM_THREADS=1 XDG_CACHE_HOME=%C"
    ]
    (command,) = [line[10:] for line in text.splitlines() if line.startswith("ExecStart=")]
    words = [word.replace("$$", "$").replace("%%", "%") for word in shlex.split(command)]
    assert words[0] == f"/srv/{folder}/python"
    assert words[-1] == f"--backing=/srv/{folder}/x.wav"
    assert f"sys.path[0] = {f'/srv/{folder}'!r};" in words[3]


def test_the_machines_service_needs_root(systemctl, monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert cli.main(["service", "install", "--system"]) == 10
    assert "sudo" in capsys.readouterr().err


# --- sd_notify


@pytest.fixture(params=["file", "abstract"])
def systemd(request, tmp_path):
    """systemd's end of the socket, and the environment that it gives."""
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    name = str(tmp_path / "notify") if request.param == "file" else f"@edgevc-test-{os.getpid()}"
    receiver.bind(name.replace("@", "\0"))
    receiver.settimeout(LIMIT_S)

    class Systemd:
        environment: typing.ClassVar = {
            "NOTIFY_SOCKET": name,
            "WATCHDOG_USEC": "300000",
            "WATCHDOG_PID": str(os.getpid()),
        }

        @staticmethod
        def hear():
            return dict(line.split("=", 1) for line in receiver.recv(4096).decode().splitlines())

    yield Systemd
    receiver.close()


class Session:
    def __init__(self):
        self.now, self.frozen = RUNNING, False

    def stats(self):
        if not self.frozen:
            self.now = dataclasses.replace(self.now, hops=self.now.hops + 1)
        return self.now


def test_systemd_hears_ready_signs_of_life_and_stopping(systemd):
    with told_to_systemd(Session().stats, Notifier(systemd.environment)):
        assert systemd.hear()["READY"] == "1"
        for _ in range(3):
            started = time.monotonic()
            word = systemd.hear()
            assert word["WATCHDOG"] == "1"
            assert word["STATUS"].startswith("slt ")
            assert time.monotonic() - started < 1.0
    words = []
    while "STOPPING" not in (words[-1] if words else {}):
        words.append(systemd.hear())


def test_a_session_that_stands_still_gives_no_sign_of_life(systemd):
    session = Session()
    with told_to_systemd(session.stats, Notifier(systemd.environment)):
        assert systemd.hear()["READY"] == "1"
        session.frozen = True
        while systemd.hear().get("WATCHDOG"):
            pass
        assert "WATCHDOG" not in systemd.hear()
        session.now = dataclasses.replace(session.now, state="reconnecting")
        while not systemd.hear().get("WATCHDOG"):
            pass


def test_without_systemd_nothing_happens():
    threads = threading.active_count()
    with told_to_systemd(Session().stats, Notifier({})):
        assert threading.active_count() == threads
    with told_to_systemd(Session().stats, Notifier({"NOTIFY_SOCKET": "/nowhere/at/all"})):
        assert threading.active_count() == threads


def test_the_watchdog_of_another_process_is_not_ours():
    assert Notifier({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).watchdog_s is None
    assert Notifier({"WATCHDOG_USEC": "1000000"}).watchdog_s == 1.0
    assert Notifier({"WATCHDOG_USEC": "x"}).watchdog_s is None


def test_the_command_line_in_the_unit_is_one_that_a_shell_would_split_alike():
    text = service.unit_text(Scope(user=True), ["--input=USB mic"], "/usr/bin/python3")
    (command,) = [line[10:] for line in text.splitlines() if line.startswith("ExecStart=")]
    assert shlex.split(command)[-1] == "--input=USB mic"
