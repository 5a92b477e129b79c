#include <pybind11/stl.h>

#include <memory>
#include <utility>
#include <vector>

#include "array_checks.h"
#include "bindings.h"
#include "edgevc/command_search.h"
#include "guarded.h"

namespace py = pybind11;

namespace edgevc {

namespace {

// Samples for which a frame stands.
constexpr py::ssize_t kHop = 160;

using Indices = std::vector<int32_t>;

std::unique_ptr<Guarded<CommandSearch>> New(int n_phones, int n_nodes, int start, int silence, Indices phone,
                                            Indices first, Indices last, Indices source, Indices target, Indices finals,
                                            const std::vector<double>& offsets, const CommandSearchSettings& settings,
                                            std::vector<float> penalty) {
  CommandNetwork network;
  network.n_phones = n_phones;
  network.n_nodes = n_nodes;
  network.start = start;
  network.silence = silence;
  network.phone = std::move(phone);
  network.first = std::move(first);
  network.last = std::move(last);
  network.source = std::move(source);
  network.target = std::move(target);
  network.finals = std::move(finals);
  network.penalty = std::move(penalty);
  return std::make_unique<Guarded<CommandSearch>>(std::move(network), offsets, settings);
}

// Frames that were taken, and the state after them.
py::tuple Process(Guarded<CommandSearch>& self, const FloatArray& log_posteriors, bool to_the_end) {
  const InUse use(self);
  RequireShape(log_posteriors, {-1, self.n_phones()}, "log_posteriors");
  const py::ssize_t n_frames = log_posteriors.shape(0);
  const float* frame = log_posteriors.data();
  CommandSearch::State state = CommandSearch::State::kWaiting;
  py::ssize_t taken = 0;
  {
    const ReleaseGilFor release(n_frames * kHop);
    while (taken < n_frames) {
      state = self.Process(frame + taken++ * self.n_phones());
      const bool over = state == CommandSearch::State::kEnded || state == CommandSearch::State::kTimedOut;
      if (over && !to_the_end) break;
    }
  }
  return py::make_tuple(taken, static_cast<int>(state));
}

// The final node or -1, the score, and (chain, end) of each word.
py::tuple Best(const Guarded<CommandSearch>& self) {
  const InUse use(self);
  double score = 0.0;
  std::vector<CommandSearch::Word> words;
  const int node = self.Best(&score, &words);
  py::list found;
  for (const CommandSearch::Word& word : words) found.append(py::make_tuple(word.chain, word.end));
  return py::make_tuple(node, score, found);
}

}  // namespace

void BindRecognition(py::module_& module) {
  using Settings = CommandSearchSettings;
  py::class_<Settings>(module, "CommandSearchSettings", "The numbers of a search.")
      .def(py::init([](double floor, double acoustic_scale, float word_penalty, float beam, float filler,
                       int closed_end_frames, int open_end_frames, int unsure_end_frames, float unsure_margin,
                       int max_sentence_frames) {
             return Settings{floor,         acoustic_scale,     word_penalty,    beam,
                             filler,        closed_end_frames,  open_end_frames, unsure_end_frames,
                             unsure_margin, max_sentence_frames};
           }),
           py::kw_only(), py::arg("floor"), py::arg("acoustic_scale"), py::arg("word_penalty"), py::arg("beam"),
           py::arg("filler"), py::arg("closed_end_frames"), py::arg("open_end_frames"), py::arg("unsure_end_frames"),
           py::arg("unsure_margin"), py::arg("max_sentence_frames"));
  py::class_<Guarded<CommandSearch>>(module, "CommandSearch", "Streaming search of a command grammar's network.")
      .def(py::init(&New), py::kw_only(), py::arg("n_phones"), py::arg("n_nodes"), py::arg("start"), py::arg("silence"),
           py::arg("phone"), py::arg("first"), py::arg("last"), py::arg("source"), py::arg("target"), py::arg("finals"),
           py::arg("offsets"), py::arg("settings"), py::arg("penalty") = std::vector<float>{})
      .def_property_readonly("n_states", &CommandSearch::n_states)
      .def_property_readonly("n_frames", OneThread(&CommandSearch::n_frames))
      .def_property_readonly("best_phones", OneThread(&CommandSearch::best_phones))
      .def_property_readonly("dropped_words", OneThread(&CommandSearch::dropped_words))
      .def_property_readonly("bytes", OneThread(&CommandSearch::bytes))
      .def(
          "process", &Process, py::arg("log_posteriors").noconvert(), py::arg("to_the_end") = false,
          "(L, n_phones) float32 to the frames taken and the state after them: 0 waiting, 1 speaking, 2 ended, 3 timed "
          "out.")
      .def("best", &Best, "Final node or -1, score, and (chain, last frame) of each word.")
      .def("reset", OneThread(&CommandSearch::Reset));
}

}  // namespace edgevc
