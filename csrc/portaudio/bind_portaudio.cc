// The extension module edgevc._portaudio, built where PortAudio's header and library are.
#include <dlfcn.h>
#include <portaudio.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <memory>
#include <string>

#include "../bindings/array_checks.h"
#include "../bindings/guarded.h"
#include "portaudio_port.h"

namespace py = pybind11;

namespace edgevc {

namespace {

void NoAlsaMessage(const char*, int, const char*, int, const char*, ...) {}
void NoMessage(const char*) {}

// Keeps ALSA and JACK from writing to stderr by themselves, where PortAudio was linked against them.
void SilenceLibraries() {
  using AlsaHandler = void (*)(const char*, int, const char*, int, const char*, ...);
  using Handler = void (*)(const char*);
  if (void* alsa = dlopen("libasound.so.2", RTLD_LAZY | RTLD_NOLOAD)) {
    if (void* set = dlsym(alsa, "snd_lib_error_set_handler")) {
      reinterpret_cast<int (*)(AlsaHandler)>(set)(&NoAlsaMessage);
    }
  }
  if (void* jack = dlopen("libjack.so.0", RTLD_LAZY | RTLD_NOLOAD)) {
    for (const char* name : {"jack_set_error_function", "jack_set_info_function"}) {
      if (void* set = dlsym(jack, name)) reinterpret_cast<void (*)(Handler)>(set)(&NoMessage);
    }
  }
}

int Initialise() {
  const ReleaseGil release;
  return Pa_Initialize();
}

void Terminate() {
  const ReleaseGil release;
  Pa_Terminate();
}

py::list ListDevices() {
  py::list devices;
  const int count = Pa_GetDeviceCount();
  for (int index = 0; index < count; ++index) {
    const PaDeviceInfo* info = Pa_GetDeviceInfo(index);
    if (!info) continue;
    const PaHostApiInfo* host = Pa_GetHostApiInfo(info->hostApi);
    py::dict device;
    device["index"] = index;
    // Bytes: a driver's name need not be UTF-8.
    device["name"] = py::bytes(info->name);
    device["host_api"] = py::bytes(host ? host->name : "");
    device["input_channels"] = info->maxInputChannels;
    device["output_channels"] = info->maxOutputChannels;
    device["sample_rate"] = info->defaultSampleRate;
    device["input_latency"] = info->defaultLowInputLatency;
    device["output_latency"] = info->defaultLowOutputLatency;
    device["is_default_input"] = index == Pa_GetDefaultInputDevice();
    device["is_default_output"] = index == Pa_GetDefaultOutputDevice();
    devices.append(device);
  }
  return devices;
}

// 0, or PortAudio's error. -1 for a device leaves that side out.
int IsFormatSupported(int input_device, int input_channels, int output_device, int output_channels, double rate) {
  const PaStreamParameters in = {input_device, input_channels, paFloat32, 0.05, nullptr};
  const PaStreamParameters out = {output_device, output_channels, paFloat32, 0.05, nullptr};
  const ReleaseGil release;
  return Pa_IsFormatSupported(input_device < 0 ? nullptr : &in, output_device < 0 ? nullptr : &out, rate);
}

PortAudioPort::Side SideOf(const py::dict& values) {
  return {values["device"].cast<int>(),       values["channels"].cast<int>(),   values["sample_rate"].cast<int>(),
          values["block_length"].cast<int>(), values["latency"].cast<double>(), values["capacity"].cast<int64_t>()};
}

const char* FaultText(PortAudioPort::Fault fault) {
  switch (fault) {
    case PortAudioPort::Fault::kNone:
      return "";
    case PortAudioPort::Fault::kEnded:
      return "the device ended the stream";
    case PortAudioPort::Fault::kStalled:
      return "the device has exchanged no samples for 1 s";
    case PortAudioPort::Fault::kSpinning:
      return "its driver takes processor time and grows late since it missed samples";
  }
  return "unknown";
}

// The calls of the one thread that reads, waits and writes, and of who starts and stops.
using Port = Guarded<PortAudioPort>;

template <void (PortAudioPort::*kCall)()>
void WithoutGil(Port& self) {
  const InUse use(self);
  const ReleaseGil release;
  (self.*kCall)();
}

bool Wait(Port& self, int64_t n, double timeout) {
  const InUse use(self);
  const ReleaseGil release;
  return self.Wait(n, timeout);
}

int64_t ReadInto(Port& self, FloatArray& out) {
  const InUse use(self);
  RequireShape(out, {-1}, "out");
  return self.Read(out.mutable_data(), out.size());
}

int64_t Discard(Port& self, int64_t n) {
  const InUse use(self);
  return self.Discard(n < 0 ? 0 : n);
}

int64_t Write(Port& self, const FloatArray& samples) {
  const InUse use(self);
  RequireShape(samples, {-1}, "samples");
  return self.Write(samples.data(), samples.size());
}

const char* Failure(Port& self) {
  const InUse use(self);
  return FaultText(self.Failure());
}

// Of any thread.
py::tuple Counters(const Port& self) {
  const PortAudioPort::Counters c = self.counters();
  return py::make_tuple(c.blocks, c.input_overflows, c.output_underflows, c.captured_samples_lost,
                        c.silent_samples_played);
}

}  // namespace

}  // namespace edgevc

PYBIND11_MODULE(_portaudio, module) {
  using namespace edgevc;
  module.doc() = "Sound devices through PortAudio, with the callback in C++.";
  module.def("initialise", &Initialise);
  module.def("terminate", &Terminate);
  module.def("silence_libraries", &SilenceLibraries);
  module.def("version", [] { return std::string(Pa_GetVersionText()); });
  module.def(
      "error_text", [](int error) { return std::string(Pa_GetErrorText(error)); }, py::arg("error"));
  module.def("list_devices", &ListDevices);
  module.def("is_format_supported", &IsFormatSupported, py::arg("input_device"), py::arg("input_channels"),
             py::arg("output_device"), py::arg("output_channels"), py::arg("sample_rate"));

  py::class_<Port>(module, "Port")
      .def(py::init([](const py::dict& input, const py::dict& output) {
             const PortAudioPort::Side in = SideOf(input), out = SideOf(output);
             const ReleaseGil release;
             return std::make_unique<Port>(in, out);
           }),
           py::arg("input"), py::arg("output"))
      .def("start", &WithoutGil<&PortAudioPort::Start>)
      .def("stop", &WithoutGil<&PortAudioPort::Stop>)
      .def("wait", &Wait, py::arg("n"), py::arg("timeout"))
      .def("available", &PortAudioPort::Available)
      .def("read_into", &ReadInto, py::arg("out").noconvert())
      .def("discard", &Discard, py::arg("n"))
      .def("write", &Write, py::arg("samples").noconvert())
      .def("playback_fill", &PortAudioPort::PlaybackFill)
      .def("counters", &Counters)
      .def("failure", &Failure)
      .def_property_readonly("input_latency", &PortAudioPort::input_latency)
      .def_property_readonly("output_latency", &PortAudioPort::output_latency);
}
