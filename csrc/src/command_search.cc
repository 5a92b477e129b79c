#include "edgevc/command_search.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

namespace edgevc {

namespace {

// Below this a score is of no path: kImpossible with some emissions added is still far below.
constexpr float kReached = CommandSearch::kImpossible / 2;
// Scores are moved up by this much when all of them are below: a power of two, so that nothing is rounded.
constexpr float kRescale = 256.0f;

void Require(bool holds, const char* rule) {
  if (!holds) throw std::invalid_argument(rule);
}

bool AllWithin(const std::vector<int32_t>& values, size_t end) {
  return std::all_of(values.begin(), values.end(),
                     [end](int32_t value) { return value >= 0 && static_cast<size_t>(value) < end; });
}

void Check(const CommandNetwork& network, const std::vector<double>& offsets, const CommandSearchSettings& settings) {
  const size_t n_states = network.phone.size(), n_chains = network.first.size();
  Require(network.n_phones > 0 && network.n_nodes > 0, "a command network must have phones and nodes");
  const size_t n_phones = static_cast<size_t>(network.n_phones), n_nodes = static_cast<size_t>(network.n_nodes);
  Require(offsets.size() == n_phones, "offsets must be one for each phone");
  Require(network.start >= 0 && network.start < network.n_nodes, "start must be a node");
  Require(network.silence >= 0 && network.silence < network.n_phones, "silence must be a phone");
  Require(n_chains > 0, "a command network must have at least one word");
  Require(network.last.size() == n_chains && network.source.size() == n_chains && network.target.size() == n_chains,
          "first, last, source and target must be of one length");
  Require(network.penalty.empty() || network.penalty.size() == n_chains, "penalty must be one for each chain, or none");
  Require(
      std::all_of(network.penalty.begin(), network.penalty.end(), [](float p) { return p <= 0.0f && p >= -1000.0f; }),
      "penalty must be between -1000 and 0");
  Require(n_states < (1u << 30) && n_chains < (1u << 30), "a command network must have less than 2^30 states");
  Require(AllWithin(network.phone, n_phones), "phone must hold columns of the posteriors");
  Require(AllWithin(network.source, n_nodes) && AllWithin(network.target, n_nodes) &&
              AllWithin(network.finals, n_nodes) && !network.finals.empty(),
          "source, target and finals must hold nodes, and finals at least one");
  int64_t next = 0;
  for (size_t c = 0; c < n_chains; ++c) {
    Require(network.first[c] == next && network.last[c] >= network.first[c],
            "chains must lie one after another and have a state each");
    next = int64_t{network.last[c]} + 1;
  }
  Require(next == static_cast<int64_t>(n_states), "chains must fill all states");
  Require(std::isfinite(settings.floor) && settings.floor < 0.0, "floor must be below 0");
  Require(std::isfinite(settings.acoustic_scale) && settings.acoustic_scale > 0.0 && settings.acoustic_scale <= 100.0,
          "acoustic_scale must be above 0 and at most 100");
  Require(settings.word_penalty <= 0.0f && settings.word_penalty >= -1000.0f,
          "word_penalty must be between -1000 and 0");
  Require(settings.beam > 0.0f && settings.beam <= 10000.0f, "beam must be above 0 and at most 10000");
  Require(settings.filler >= 0.0f && settings.filler <= 1000.0f, "filler must be between 0 and 1000");
  Require(settings.unsure_margin >= 0.0f && settings.unsure_margin <= 10000.0f,
          "unsure_margin must be between 0 and 10000");
  Require(settings.closed_end_frames >= 1 && settings.open_end_frames >= 1 && settings.unsure_end_frames >= 1 &&
              settings.max_sentence_frames >= 1,
          "times of the end decision must be at least 1 frame");
}

}  // namespace

CommandSearch::CommandSearch(CommandNetwork network, const std::vector<double>& offsets,
                             const CommandSearchSettings& settings)
    : network_(std::move(network)), settings_(settings), offsets_(offsets) {
  Check(network_, offsets_, settings_);
  const size_t n_states = network_.phone.size(), n_chains = network_.first.size();
  const size_t n_nodes = static_cast<size_t>(network_.n_nodes);
  entry_.assign(n_chains, settings_.word_penalty);
  for (size_t c = 0; c < network_.penalty.size(); ++c) entry_[c] += network_.penalty[c];
  open_.assign(n_nodes, 0);
  for (int32_t node : network_.source) open_[static_cast<size_t>(node)] = 1;
  final_.assign(n_nodes, 0);
  for (int32_t node : network_.finals) final_[static_cast<size_t>(node)] = 1;
  emission_.resize(static_cast<size_t>(network_.n_phones));
  scores_.resize(n_states);
  tokens_.resize(n_states);
  alive_.resize(n_chains);
  silence_.resize(n_nodes);
  silence_tokens_.resize(n_nodes);
  nodes_.resize(n_nodes);
  node_tokens_.resize(n_nodes);
  arrived_.resize(n_nodes);
  arrived_chain_.resize(n_nodes);
  // every frame may end a word at each node; a state needs few tokens, since most share their past
  const size_t n_tokens = std::min<size_t>(16 * n_nodes + n_states / 2 + 1024, 1u << 22);
  token_chain_.resize(n_tokens);
  token_before_.resize(n_tokens);
  token_end_.resize(n_tokens);
  token_used_.resize(n_tokens);
  Reset();
}

int64_t CommandSearch::bytes() const {
  const auto of = [](const auto& values) { return static_cast<int64_t>(values.capacity() * sizeof(values[0])); };
  return static_cast<int64_t>(sizeof(*this)) + of(network_.phone) + of(network_.first) + of(network_.last) +
         of(network_.source) + of(network_.target) + of(network_.finals) + of(network_.penalty) + of(offsets_) +
         of(entry_) + of(open_) + of(final_) + of(emission_) + of(scores_) + of(tokens_) + of(alive_) + of(silence_) +
         of(silence_tokens_) + of(nodes_) + of(node_tokens_) + of(arrived_) + of(arrived_chain_) + of(token_chain_) +
         of(token_before_) + of(token_end_) + of(token_used_);
}

void CommandSearch::Reset() noexcept {
  std::fill(scores_.begin(), scores_.end(), kImpossible);
  std::fill(tokens_.begin(), tokens_.end(), -1);
  std::fill(alive_.begin(), alive_.end(), 0);
  std::fill(silence_.begin(), silence_.end(), kImpossible);
  std::fill(silence_tokens_.begin(), silence_tokens_.end(), -1);
  std::fill(nodes_.begin(), nodes_.end(), kImpossible);
  std::fill(node_tokens_.begin(), node_tokens_.end(), -1);
  nodes_[static_cast<size_t>(network_.start)] = 0.0f;
  const int32_t n_tokens = static_cast<int32_t>(token_before_.size());
  for (int32_t i = 0; i < n_tokens; ++i) token_before_[static_cast<size_t>(i)] = i + 1 < n_tokens ? i + 1 : -1;
  std::fill(token_used_.begin(), token_used_.end(), 0);
  free_ = 0;
  n_free_ = n_tokens;
  n_frames_ = 0;
  began_ = -1;
  dropped_words_ = 0;
  offset_ = 0.0;
  best_phones_ = 0.0;
  best_state_ = kImpossible;
}

CommandSearch::State CommandSearch::Process(const float* log_posteriors) noexcept {
  Emit(log_posteriors);
  const float best = Advance();
  Prune(best - settings_.beam);
  Arrive();
  if (best < -kRescale) Rescale(best);
  ++n_frames_;
  return Decide();
}

void CommandSearch::Emit(const float* log_posteriors) noexcept {
  float best = kImpossible;
  for (size_t p = 0; p < emission_.size(); ++p) {
    const double scaled = std::min(static_cast<double>(log_posteriors[p]), 0.0) - offsets_[p];
    // a comparison with what is not a number is false
    const double kept = scaled > settings_.floor ? scaled : settings_.floor;
    emission_[p] = static_cast<float>(kept * settings_.acoustic_scale);
    best = std::max(best, emission_[p]);
  }
  best_phones_ += static_cast<double>(best);
  silence_emission_ = emission_[static_cast<size_t>(network_.silence)];
  if (settings_.filler > 0.0f) silence_emission_ = std::max(silence_emission_, best - settings_.filler);
}

// Moves every path on by a frame; returns the best score.
float CommandSearch::Advance() noexcept {
  float best = kImpossible;
  const int32_t* phone = network_.phone.data();
  float* scores = scores_.data();
  int32_t* tokens = tokens_.data();
  for (size_t c = 0; c < alive_.size(); ++c) {
    const size_t source = static_cast<size_t>(network_.source[c]);
    const float entering = nodes_[source] + entry_[c];
    if (!alive_[c] && entering <= kReached) continue;
    alive_[c] = 1;
    const int32_t first = network_.first[c];
    // from behind: each state still finds what the one before it was
    for (int32_t s = network_.last[c]; s > first; --s) {
      const bool moves = scores[s - 1] > scores[s];
      scores[s] = (moves ? scores[s - 1] : scores[s]) + emission_[static_cast<size_t>(phone[s])];
      tokens[s] = moves ? tokens[s - 1] : tokens[s];
      best = std::max(best, scores[s]);
    }
    const bool enters = entering > scores[first];
    scores[first] = (enters ? entering : scores[first]) + emission_[static_cast<size_t>(phone[first])];
    tokens[first] = enters ? node_tokens_[source] : tokens[first];
    best = std::max(best, scores[first]);
  }
  for (size_t n = 0; n < nodes_.size(); ++n) {
    if (nodes_[n] > silence_[n]) {
      silence_[n] = nodes_[n];
      silence_tokens_[n] = node_tokens_[n];
    }
    silence_[n] += silence_emission_;
    best = std::max(best, silence_[n]);
  }
  return best;
}

void CommandSearch::Prune(float limit) noexcept {
  float* scores = scores_.data();
  best_state_ = kImpossible;
  for (size_t c = 0; c < alive_.size(); ++c) {
    if (!alive_[c]) continue;
    float best = kImpossible;
    for (int32_t s = network_.first[c]; s <= network_.last[c]; ++s) {
      scores[s] = scores[s] < limit ? kImpossible : scores[s];
      best = std::max(best, scores[s]);
    }
    alive_[c] = best > kReached;
    best_state_ = std::max(best_state_, best);
  }
  for (float& score : silence_) score = score < limit ? kImpossible : score;
}

// Takes the best word that ends at each node into the node, where it is better than silence.
void CommandSearch::Arrive() noexcept {
  std::fill(arrived_.begin(), arrived_.end(), kImpossible);
  for (size_t c = 0; c < alive_.size(); ++c) {
    if (!alive_[c]) continue;
    const size_t target = static_cast<size_t>(network_.target[c]);
    const float ended = scores_[static_cast<size_t>(network_.last[c])];
    if (ended > arrived_[target]) {
      arrived_[target] = ended;
      arrived_chain_[target] = static_cast<int32_t>(c);
    }
  }
  // node tokens of the frame before are needed no more: what lives is in states and silences
  std::fill(node_tokens_.begin(), node_tokens_.end(), -1);
  if (static_cast<size_t>(n_free_) < nodes_.size()) Collect();
  for (size_t n = 0; n < nodes_.size(); ++n) {
    nodes_[n] = silence_[n];
    node_tokens_[n] = silence_tokens_[n];
    if (arrived_[n] <= silence_[n]) continue;
    const int32_t chain = arrived_chain_[n];
    const int32_t before = tokens_[static_cast<size_t>(network_.last[static_cast<size_t>(chain)])];
    const int32_t token = NewToken(chain, before);
    dropped_words_ += token < 0;
    nodes_[n] = arrived_[n];
    node_tokens_[n] = token < 0 ? before : token;
  }
}

void CommandSearch::Rescale(float best) noexcept {
  const float up = kRescale * std::floor(-best / kRescale);
  const auto move = [up](float& score) { score = score > kReached ? score + up : score; };
  std::for_each(scores_.begin(), scores_.end(), move);
  std::for_each(silence_.begin(), silence_.end(), move);
  std::for_each(nodes_.begin(), nodes_.end(), move);
  move(best_state_);
  offset_ += static_cast<double>(up);
}

int CommandSearch::BestFinal() const noexcept {
  int found = -1;
  float best = kReached;
  for (int32_t node : network_.finals) {
    if (nodes_[static_cast<size_t>(node)] > best) {
      best = nodes_[static_cast<size_t>(node)];
      found = node;
    }
  }
  return found;
}

CommandSearch::State CommandSearch::Decide() noexcept {
  float unfinished = best_state_;
  for (size_t n = 0; n < silence_.size(); ++n) {
    if (!final_[n] && n != static_cast<size_t>(network_.start)) unfinished = std::max(unfinished, silence_[n]);
  }
  const int final_node = BestFinal();
  const float finished = final_node < 0 ? kImpossible : nodes_[static_cast<size_t>(final_node)];
  const float waiting = silence_[static_cast<size_t>(network_.start)];
  if (waiting >= std::max(finished, unfinished)) {
    began_ = -1;
    return State::kWaiting;
  }
  if (began_ < 0) began_ = n_frames_ - 1;
  const int32_t token = final_node < 0 ? -1 : node_tokens_[static_cast<size_t>(final_node)];
  if (token >= 0) {
    const int64_t over = n_frames_ - 1 - token_end_[static_cast<size_t>(token)];
    const bool open = open_[static_cast<size_t>(final_node)] != 0;
    const int needed = open ? settings_.open_end_frames : settings_.closed_end_frames;
    if (over >= needed && finished >= unfinished) return State::kEnded;
    if (over >= settings_.unsure_end_frames && finished >= unfinished - settings_.unsure_margin) return State::kEnded;
  }
  return n_frames_ - began_ >= settings_.max_sentence_frames ? State::kTimedOut : State::kSpeaking;
}

int CommandSearch::Best(double* score, std::vector<Word>* words) const {
  const int node = n_frames_ > 0 ? BestFinal() : -1;
  if (words) words->clear();
  if (node < 0) return -1;
  if (score) *score = static_cast<double>(nodes_[static_cast<size_t>(node)]) - offset_;
  if (words) {
    for (int32_t t = node_tokens_[static_cast<size_t>(node)]; t >= 0; t = token_before_[static_cast<size_t>(t)]) {
      const size_t token = static_cast<size_t>(t);
      words->push_back({token_chain_[token], token_end_[token]});
    }
    std::reverse(words->begin(), words->end());
  }
  return node;
}

int32_t CommandSearch::NewToken(int32_t chain, int32_t before) noexcept {
  const int32_t token = free_;
  if (token < 0) return -1;
  const size_t at = static_cast<size_t>(token);
  free_ = token_before_[at];
  --n_free_;
  token_chain_[at] = chain;
  token_before_[at] = before;
  token_end_[at] = n_frames_;
  return token;
}

void CommandSearch::Mark(int32_t token) noexcept {
  while (token >= 0 && !token_used_[static_cast<size_t>(token)]) {
    token_used_[static_cast<size_t>(token)] = 1;
    token = token_before_[static_cast<size_t>(token)];
  }
}

// Links everything that no path leads back to into the list of free tokens.
void CommandSearch::Collect() noexcept {
  std::fill(token_used_.begin(), token_used_.end(), 0);
  for (size_t c = 0; c < alive_.size(); ++c) {
    if (!alive_[c]) continue;
    for (size_t s = static_cast<size_t>(network_.first[c]); s <= static_cast<size_t>(network_.last[c]); ++s) {
      if (scores_[s] > kReached) Mark(tokens_[s]);
    }
  }
  for (size_t n = 0; n < silence_.size(); ++n) {
    if (silence_[n] > kReached) Mark(silence_tokens_[n]);
  }
  free_ = -1;
  n_free_ = 0;
  for (int32_t i = static_cast<int32_t>(token_used_.size()) - 1; i >= 0; --i) {
    if (token_used_[static_cast<size_t>(i)]) continue;
    token_before_[static_cast<size_t>(i)] = free_;
    free_ = i;
    ++n_free_;
  }
}

}  // namespace edgevc
