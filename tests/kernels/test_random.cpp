#include <array>

#include "kernels/random.h"
#include "tests/support/catch.h"

using namespace penstock;

// The vectors published with Random123 (kat_vectors, philox4x32 with 10 rounds).
TEST_CASE("philox4x32 gives the published numbers", "[cpu]") {
  struct Known {
    RandomWords counter;
    uint32_t key0, key1;
    std::array<uint32_t, 4> words;
  };
  const uint32_t ones = 0xFFFFFFFFu;
  for (const Known& known :
       {Known{{{0, 0, 0, 0}}, 0, 0, {0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8}},
        Known{{{ones, ones, ones, ones}}, ones, ones, {0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD}},
        Known{{{0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344}},
              0xA4093822,
              0x299F31D0,
              {0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1}}}) {
    RandomWords got = philox4x32(known.counter, known.key0, known.key1);
    for (int i = 0; i < 4; ++i) CHECK(got.word[i] == known.words[i]);
  }
}

TEST_CASE("the key of a draw lies where the header says", "[cpu]") {
  RandomWords got =
      random_words(0x299F31D0A4093822u, 0x13198A2E, static_cast<int32_t>(0x85A308D3), RandomUse::token, 7);
  RandomWords want = philox4x32({{7, 0x85A308D3, 0x13198A2E, 0}}, 0xA4093822, 0x299F31D0);
  for (int i = 0; i < 4; ++i) CHECK(got.word[i] == want.word[i]);
}

TEST_CASE("gumbel noise is finite, falls with the word, and has its range", "[cpu]") {
  CHECK(std::abs(gumbel(0) - (-std::log(-std::log1p(-0x1p-33)))) < 1e-5);
  CHECK(gumbel(0) < 22.9f);
  CHECK(std::abs(gumbel(0xFFFFFFFFu) - (-std::log(-std::log(0x1p-24)))) < 1e-5);
  float before = gumbel(0);
  for (uint64_t word = 1; word < (uint64_t{1} << 32); word += 1 + word / 64) {
    float now = gumbel(static_cast<uint32_t>(word));
    double w = std::min((static_cast<double>(word) + 0.5) * 0x1p-32, 1 - 0x1p-24);
    REQUIRE(now <= before);
    REQUIRE(std::abs(now + std::log(-std::log1p(-w))) <= 2e-5 + 2e-6 * std::abs(now));
    before = now;
  }
}

TEST_CASE("uniforms of neighbouring keys have the mean and the variance of uniforms", "[cpu]") {
  double sum = 0, squares = 0;
  constexpr int kCount = 100000;
  for (int i = 0; i < kCount; ++i) {
    RandomWords words = random_words(static_cast<uint64_t>(i % 10), i / 10 % 10, i / 100, RandomUse::token, 0);
    double u = unit_interval(words.word[i % 4]);
    sum += u, squares += u * u;
  }
  CHECK(std::abs(sum / kCount - 0.5) < 5 * std::sqrt(1.0 / 12 / kCount));
  CHECK(std::abs(squares / kCount - 1.0 / 3) < 5 * std::sqrt(4.0 / 45 / kCount));
}
