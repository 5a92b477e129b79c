"""`edgevc doctor` shown a Raspberry Pi, a desktop and broken machines; what it says can be typed."""

import json
import os
import resource

import pytest

from edgevc import cli
from edgevc.board import doctor
from edgevc.board.doctor import NOTE, OK, PROBLEM, Finding, Machine
from edgevc.cli import doctor as doctor_command
from edgevc.devices import catalogue as devices
from edgevc.devices.catalogue import Device
from edgevc.errors import AudioDeviceError

UNLIMITED = resource.RLIM_INFINITY
PI_4 = {
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/loadavg": "0.20 0.10 0.05 1/100 999",
    "proc/meminfo": "MemTotal: 3884000 kB\nMemAvailable: 3200000 kB",
    "proc/self/status": "CapEff:\t0000000000000000",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_driver": "cpufreq-dt",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "performance",
    "sys/class/thermal/thermal_zone0/temp": "51120",
    "dev/snd/pcmC1D0c": "",
    "dev/snd/pcmC1D0p": "",
    "usr/lib/aarch64-linux-gnu/alsa-lib/libasound_module_pcm_pulse.so": "",
    "run/user/1000/pulse/native": "",
}
LIMITS = {resource.RLIMIT_RTPRIO: (0, 60), resource.RLIMIT_MEMLOCK: (8 << 20, UNLIMITED)}


@pytest.fixture
def machine(tmp_path):
    """Builds a machine below a folder; None takes a file away."""

    def build(changes=None, groups=("audio",), throttled="throttled=0x0", limits=None, uid=1000, **options):
        for path, text in {**PI_4, **(changes or {})}.items():
            if text is not None:
                (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / path).write_text(text)
        limits = {**LIMITS, **(limits or {})}
        return Machine(
            root=tmp_path,
            environment={"XDG_CONFIG_HOME": str(tmp_path), "XDG_RUNTIME_DIR": "/run/user/1000"},
            run=lambda command: throttled,
            limit=limits.__getitem__,
            groups=lambda: set(groups),
            uid=uid,
            architecture=options.pop("architecture", "aarch64"),
            **options,
        )

    return build


def one(check, machine):
    (finding,) = check(machine)
    return finding


HARDWARE = (
    doctor.check_system,
    doctor.check_permissions,
    doctor.check_sound_server,
    doctor.check_realtime,
    doctor.check_memory_lock,
    doctor.check_governor,
    doctor.check_throttling,
    doctor.check_load,
)


def test_a_well_kept_pi_has_nothing_to_complain_of(machine):
    pi = machine()
    findings = [finding for check in HARDWARE for finding in check(pi)]
    assert [finding for finding in findings if finding.status != OK] == []
    assert "Raspberry Pi 4 Model B" in findings[0].text


def test_a_pi_out_of_the_box_gets_a_command_for_everything(machine):
    pi = machine(
        {
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand",
            "dev/snd/pcmC1D0c": None,
            "run/user/1000/pulse/native": None,
        },
        throttled="throttled=0x50005",
        limits={resource.RLIMIT_RTPRIO: (0, 0), resource.RLIMIT_MEMLOCK: (8 << 20, 8 << 20)},
    )
    findings = {check.__name__: list(check(pi)) for check in HARDWARE}
    assert findings["check_realtime"][0].status == NOTE
    assert "limits.d" in findings["check_realtime"][0].fix
    assert "8192 kB" in findings["check_memory_lock"][0].text
    assert "tee /sys/devices/system/cpu" in findings["check_governor"][0].fix
    assert "no capture" in findings["check_permissions"][0].text
    low, throttled = findings["check_throttling"]
    assert (low.status, throttled.status) == (PROBLEM, PROBLEM)
    assert "voltage" in low.text
    assert "throttled" in throttled.text
    assert all(f.fix for group in findings.values() for f in group if f.status != OK)


def test_what_only_happened_before_is_a_note(machine):
    finding = one(doctor.check_throttling, machine(throttled="throttled=0x10000"))
    assert finding.status == NOTE
    assert "since the start" in finding.text


def test_throttling_is_read_from_the_kernel_where_vcgencmd_is_missing(machine):
    path = "sys/devices/platform/soc/soc:firmware/get_throttled"
    assert one(doctor.check_throttling, machine({path: "4"}, throttled=None)).status == PROBLEM


def test_a_hot_board_is_told_to_cool(machine):
    finding = one(doctor.check_throttling, machine({"sys/class/thermal/thermal_zone0/temp": "82000"}))
    assert "82 degrees" in finding.text


@pytest.mark.parametrize(
    ("driver", "governor", "status"),
    [
        ("intel_pstate", "powersave", NOTE),
        ("cpufreq-dt", "powersave", PROBLEM),
        ("cpufreq-dt", "schedutil", NOTE),
        ("cpufreq-dt", "performance", OK),
    ],
)
def test_powersave_is_a_problem_where_it_means_the_lowest_clock(machine, driver, governor, status):
    folder = "sys/devices/system/cpu/cpu"
    files = {f"{folder}{i}/cpufreq/scaling_governor": governor for i in (0, 1)}
    desktop = machine({**files, f"{folder}0/cpufreq/scaling_driver": driver}, architecture="x86_64")
    assert one(doctor.check_governor, desktop).status == status


def test_a_jetson_is_given_its_own_commands(machine):
    files = {"etc/nv_tegra_release": "# R36", "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil"}
    assert "jetson_clocks" in one(doctor.check_governor, machine(files)).fix


def test_a_user_outside_the_group_audio_is_told_to_join(machine, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    finding = one(doctor.check_permissions, machine(groups=("users",)))
    assert finding.status == PROBLEM
    assert "usermod -aG audio" in finding.fix


def test_an_access_list_is_as_good_as_the_group(machine, monkeypatch):
    # systemd-logind gives the person at the screen access without the group
    monkeypatch.setattr(os, "access", lambda *_: True)
    assert one(doctor.check_permissions, machine(groups=("users",))).status == OK


def test_a_sound_server_that_alsa_programs_cannot_reach_is_a_problem(machine):
    plugin = "usr/lib/aarch64-linux-gnu/alsa-lib/libasound_module_pcm_pulse.so"
    finding = one(doctor.check_sound_server, machine({plugin: None}))
    assert finding.status == PROBLEM
    assert "libasound2-plugins" in finding.fix
    finding = one(doctor.check_sound_server, machine({plugin: None, "run/user/1000/pipewire-0": ""}))
    assert "pipewire-alsa" in finding.fix


def test_a_32_bit_system_is_a_problem(machine):
    finding = one(doctor.check_system, machine(architecture="armv7l", pointer_bits=32))
    assert finding.status == PROBLEM
    assert "64-bit edition" in finding.fix


def test_little_memory_and_busy_cores_are_seen(machine):
    files = {"proc/loadavg": "9.0 1 1 1/1 1", "proc/meminfo": "MemAvailable: 90000 kB"}
    busy, memory = doctor.check_load(machine(files))
    assert (busy.status, memory.status) == (NOTE, PROBLEM)


def test_a_machine_without_proc_and_sys_is_survived(tmp_path):
    bare = Machine(root=tmp_path, environment={}, run=lambda _: None, limit=lambda _: (0, 0), groups=set, uid=1000)
    assert all(isinstance(finding, Finding) for check in HARDWARE for finding in check(bare))


def test_the_core_and_both_engines_are_really_looked_at(machine):
    (core,) = doctor.check_core(machine())
    assert core.status == OK
    assert any(word in core.text for word in ("SSE2", "AVX", "NEON"))
    model, *engines = doctor.check_engines(machine())
    assert "kathleen" in model.text
    assert all(finding.status == OK for finding in engines)


def test_a_missing_engine_is_a_problem_only_when_it_was_the_last(machine, monkeypatch):
    from edgevc import engines
    from edgevc.engines import loader

    real = engines.engine_version
    for module in (engines, loader):
        monkeypatch.setattr(module, "engine_version", lambda engine: None if engine == "onnx" else real(engine))
    _, _, missing = doctor.check_engines(machine())
    assert missing.status == OK
    assert "one engine is enough" in missing.text
    for module in (engines, loader):
        monkeypatch.setattr(module, "engine_version", lambda engine: None)
    _, *missing = doctor.check_engines(machine())
    assert [finding.status for finding in missing] == [PROBLEM, PROBLEM]
    assert 'pip install "edgevc[litert]"' in missing[0].fix


def test_a_broken_configuration_is_named_with_its_line(machine, tmp_path):
    (tmp_path / "edgevc").mkdir()
    (tmp_path / "edgevc/config.toml").write_text("[live]\nblock_ms = 0\n")
    finding = one(doctor.check_settings, machine())
    assert finding.status == PROBLEM
    assert "line 2" in finding.text


def device(index, name, inputs, outputs, rate, default=False):
    return Device(index, f"ALSA: {name}", "ALSA", name, "", inputs, outputs, rate, 0.01, 0.01, default, default)


def test_devices_are_named_with_their_rates(machine, monkeypatch):
    found = [device(0, "USB mic", 1, 0, 44_100), device(1, "pulse", 32, 32, 16_000, default=True)]
    monkeypatch.setattr(devices, "sound_library", lambda backend: None)
    monkeypatch.setattr(devices, "list_devices", lambda: found)
    _, microphone, speaker = doctor.check_devices(machine())
    assert microphone.text.startswith("microphone: ALSA: pulse, 16000 Hz")
    assert "2 to choose from (--input)" in microphone.text
    assert "1 to choose from (--output)" in speaker.text
    monkeypatch.setattr(devices, "list_devices", lambda: found[:1])
    _, microphone, speaker = doctor.check_devices(machine())
    assert "USB mic, 44100 Hz" in microphone.text
    assert (speaker.status, speaker.text) == (PROBLEM, "PortAudio finds no speaker")


@pytest.mark.parametrize(("missing", "status"), [(("portaudio", "pyaudio"), PROBLEM), (("portaudio",), NOTE), ((), OK)])
def test_a_missing_way_to_portaudio_is_told(machine, monkeypatch, missing, status):
    def library(backend):
        if backend in missing:
            raise AudioDeviceError("not there")

    monkeypatch.setattr(devices, "sound_library", library)
    monkeypatch.setattr(devices, "list_devices", list)
    first = next(iter(doctor.check_devices(machine())))
    assert first.status == status
    assert status == OK or "portaudio19-dev" in first.fix


@pytest.mark.parametrize(("pyaudio", "status"), [(False, PROBLEM), (True, NOTE)])
def test_where_only_portaudios_library_is_missing_no_compiler_is_asked_for(machine, monkeypatch, pyaudio, status):
    def library(backend):
        if backend == "portaudio":
            raise AudioDeviceError("PortAudio's library is not installed; sudo apt-get install libportaudio2")
        if not pyaudio:
            raise AudioDeviceError("PyAudio is not installed; install Debian's portaudio19-dev")

    monkeypatch.setattr(devices, "sound_library", library)
    monkeypatch.setattr(devices, "list_devices", list)
    findings = list(doctor.check_devices(machine()))
    assert (findings[0].status, findings[0].fix) == (status, "sudo apt-get install libportaudio2")
    # devices are looked for where something can find them
    assert (len(findings) > 1) == pyaudio


def test_a_check_that_fails_is_a_finding(monkeypatch):
    def broken(_):
        raise RuntimeError("no such thing")

    monkeypatch.setattr(doctor, "CHECKS", {"the moon": broken})
    (finding,) = doctor.examine()
    assert finding.status == PROBLEM
    assert "no such thing" in finding.text


@pytest.mark.parametrize(("status", "code"), [(OK, 0), (NOTE, 0), (PROBLEM, 1)])
def test_the_exit_code_says_whether_there_is_a_problem(monkeypatch, capsys, status, code):
    finding = Finding("thing", status, "words", "type this")
    monkeypatch.setattr(doctor, "CHECKS", {"thing": lambda _: [finding]})
    assert cli.main(["doctor"]) == code
    assert "-> type this" in capsys.readouterr().out
    assert cli.main(["doctor", "--json"]) == code
    assert json.loads(capsys.readouterr().out) == [
        {"check": "thing", "status": status, "text": "words", "fix": "type this"}
    ]


def test_a_fix_stays_in_one_piece_and_colours_are_optional():
    long = "sudo " + "x" * 200
    lines = doctor_command.report([Finding("a", PROBLEM, "word " * 60, long)])
    assert any(line.endswith(long) for line in lines)
    assert all(len(line) <= 100 for line in lines if long not in line)
    assert "\033[31m" in "\n".join(doctor_command.report([Finding("a", PROBLEM, "b")], colour=True))
