// The mark that says of a sound that edgevc made it: a public pattern of small steps in the levels of bands.
#pragma once

#include <cstdint>

namespace edgevc {

// Which bands of a frame are louder by kStepDb, and which are quieter; the lowest kGentleBands by kGentleStepDb.
//
// The lowest bands hold most of the voice: all that a judge of quality takes away for the mark, it takes away for them
// (docs/mark.md). Their smaller steps pay for the larger ones above.
//
// A sign holds for kHoldFrames frames, then its opposite for as many, then the next one of the public key comes; a pair
// of neighbouring bands always has opposite signs. Alternation in time and in frequency makes the mark stand out from
// speech, whose levels move slowly in both. All of it repeats after kPeriod frames. The key is the same for everybody:
// the mark says that the sound was made, not by whom, where or from what.
//
// The detector (edgevc/mark) holds the same definitions in Python; a test keeps the two together.
class Watermark {
 public:
  static constexpr int kFirstBin = 10;
  static constexpr int kBinsPerBand = 6;
  static constexpr int kBands = 40;
  static constexpr int kHoldFrames = 2;
  static constexpr int kPeriod = 96;
  static constexpr int kGentleBands = 5;
  static constexpr double kGentleStepDb = 0.3;
  static constexpr double kStepDb = 0.6;

  // 1 or -1 for a band, in [0, kBands), of a frame, in [0, kPeriod).
  static int Sign(int frame, int band) noexcept;

  // Writes the factors for the magnitudes of the frame that is next, of the bins from kFirstBin on, kBands *
  // kBinsPerBand of them; leaves those of the other bins. Allocates nothing.
  void Fill(float* factors) const noexcept;

  // Goes on to the frame after it.
  void Advance() noexcept { frame_ = (frame_ + 1) % kPeriod; }

  void Reset() noexcept { frame_ = 0; }

 private:
  int frame_ = 0;
};

}  // namespace edgevc
