// Searches a command grammar's network for the best sentence, frame by frame, and says when it has ended.
#pragma once

#include <cstdint>
#include <vector>

namespace edgevc {

// S states in C chains over N nodes: every chain is a pronunciation of a word on an arc of the grammar's automaton.
struct CommandNetwork {
  int n_phones = 0;
  int n_nodes = 0;
  int start = 0;
  int silence = 0;              // column of the posteriors; silence may lie at every node
  std::vector<int32_t> phone;   // (S,) column that a state hears
  std::vector<int32_t> first;   // (C,) a chain's first state; chains lie one after another and fill all states
  std::vector<int32_t> last;    // (C,) its last one
  std::vector<int32_t> source;  // (C,) node from which it is entered
  std::vector<int32_t> target;  // (C,) node that it leads to
  std::vector<int32_t> finals;  // nodes at which a sentence may end; of equally good ones the first counts
  std::vector<float> penalty;   // (C,) added where a chain is entered, beside word_penalty; none: 0 for all
};

struct CommandSearchSettings {
  double floor = -7.0;          // least emission: one misheard phone must not rule out a sentence
  double acoustic_scale = 1.0;  // weight of an emission against word_penalty
  float word_penalty = -5.0f;   // added for each word
  float beam = 100.0f;          // paths that are worse than the best one by more are given up
  float filler = 0.0f;          // silence pays max(silence, best phone - filler); 0: silence alone
  int closed_end_frames = 10;   // how long a sentence must have been over where no word may follow,
  int open_end_frames = 50;     // where one may,
  int unsure_end_frames = 150;  // and where an unfinished sentence is better, by unsure_margin at most
  float unsure_margin = 40.0f;
  int max_sentence_frames = 1000;  // after which a sentence that has begun is given up
};

// A stream of one network. Method: S. J. Young, N. H. Russell, J. H. S. Thornton, "Token passing: a simple conceptual
// model for connected speech recognition systems", 1989.
//
// For each frame a path pays the emission of the state that it is in, clamped(log posterior - offset), and
// word_penalty and the chain's penalty for each word. A state is held or left for the next one at no cost. Silence of
// any length may lie before, between and behind words. The words of all paths are kept in a pool of fixed size; what no
// path needs any more is collected. Where the pool is full, a word that ends is left out of its path's words and
// counted.
class CommandSearch {
 public:
  static constexpr float kImpossible = -1e30f;  // score of what no path has reached

  enum class State {
    kWaiting,   // no word is likely yet
    kSpeaking,  // words are
    kEnded,     // a sentence is over
    kTimedOut   // more than max_sentence_frames since it began
  };

  struct Word {
    int chain;
    int64_t end;  // frame with which the word's last phone ended, 0-based
  };

  // offsets: (n_phones,) subtracted from log posteriors.
  // Throws std::invalid_argument where an index is out of range, chains have gaps, or a setting is out of its range.
  CommandSearch(CommandNetwork network, const std::vector<double>& offsets, const CommandSearchSettings& settings);

  int n_phones() const { return network_.n_phones; }
  int n_states() const { return static_cast<int>(network_.phone.size()); }
  int64_t n_frames() const { return n_frames_; }
  // Words that found no room in the pool since the last Reset.
  int64_t dropped_words() const { return dropped_words_; }
  // Bytes of everything that belongs to this object.
  int64_t bytes() const;

  // log_posteriors: n_phones() natural logs; what is not a number counts as very unlikely. Allocates nothing.
  State Process(const float* log_posteriors) noexcept;

  // The best sentence that may end here: its final node, or -1 where there is none. score and words may be null.
  int Best(double* score, std::vector<Word>* words) const;

  // Sum over the frames of the best phone's emission.
  double best_phones() const { return best_phones_; }

  // Makes the object equal to a new one.
  void Reset() noexcept;

 private:
  void Emit(const float* log_posteriors) noexcept;
  float Advance() noexcept;
  void Prune(float limit) noexcept;
  void Arrive() noexcept;
  void Rescale(float best) noexcept;
  State Decide() noexcept;
  int BestFinal() const noexcept;
  int32_t NewToken(int32_t chain, int32_t before) noexcept;
  void Collect() noexcept;
  void Mark(int32_t token) noexcept;

  CommandNetwork network_;
  CommandSearchSettings settings_;
  std::vector<double> offsets_;
  std::vector<float> entry_;    // (C,) word_penalty and the chain's own
  std::vector<uint8_t> open_;   // (N,) whether a word may follow
  std::vector<uint8_t> final_;  // (N,)

  std::vector<float> emission_;  // (n_phones,) of this frame
  float silence_emission_ = 0.0f;
  std::vector<float> scores_;    // (S,)
  std::vector<int32_t> tokens_;  // (S,)
  std::vector<uint8_t> alive_;   // (C,) whether a state of the chain is reached
  std::vector<float> silence_;   // (N,)
  std::vector<int32_t> silence_tokens_;
  std::vector<float> nodes_;  // (N,)
  std::vector<int32_t> node_tokens_;
  std::vector<float> arrived_;          // (N,) best word that ends at a node with this frame
  std::vector<int32_t> arrived_chain_;  // (N,)

  // the pool: a token is a word that ended, and the token of what came before it; free ones are linked by `before`
  std::vector<int32_t> token_chain_;
  std::vector<int32_t> token_before_;
  std::vector<int64_t> token_end_;
  std::vector<uint8_t> token_used_;
  int32_t free_ = -1;
  int32_t n_free_ = 0;

  int64_t n_frames_ = 0;
  int64_t began_ = -1;  // frame with which the best path left the start, -1 before
  int64_t dropped_words_ = 0;
  float best_state_ = kImpossible;  // of this frame, among all states of words
  double offset_ = 0.0;             // of all scores; they are kept near 0, where float32 is fine
  double best_phones_ = 0.0;
};

}  // namespace edgevc
