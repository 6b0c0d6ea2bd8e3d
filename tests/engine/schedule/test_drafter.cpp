#include <map>
#include <random>

#include "engine/schedule/acceptance.h"
#include "engine/schedule/drafter.h"
#include "tests/support/catch.h"

using namespace penstock;

namespace {

using Ids = std::vector<int32_t>;

// The longest agreement of the context with any place of the text, by looking at all of them.
int32_t longest_agreement(const Ids& text, const Ids& context) {
  int32_t best = 0;
  for (size_t end = NgramIndex::kShortest; end < text.size(); ++end) {
    int32_t length = 0;
    while (length < static_cast<int32_t>(std::min({end, context.size(), size_t{64}})) &&
           text[end - 1 - length] == context[context.size() - 1 - length])
      ++length;
    best = std::max(best, length);
  }
  return best >= NgramIndex::kShortest ? best : 0;
}

Ids propose(const Ids& text, int32_t most, const NgramDrafter& drafter = {}) {
  NgramIndex own;
  return drafter.propose(text, own, most);
}

}  // namespace

TEST_CASE("an n-gram is found wherever its like stands, however the text grew") {
  std::mt19937 random(3);
  int found = 0;
  for (int round = 0; round < 300; ++round) {
    const int32_t vocab = 2 + static_cast<int32_t>(random() % 30);
    Ids text, context;
    NgramIndex index;
    // No n-gram stands oftener than find() looks.
    std::map<Ids, int> places;
    for (int i = 0; i < 200; ++i) {
      text.push_back(static_cast<int32_t>(random() % vocab));
      if (text.size() >= 3 && ++places[Ids(text.end() - 3, text.end())] > 8) text.pop_back();
      if (random() % 10 == 0) index.extend(text);
    }
    index.extend(text);
    REQUIRE(index.size() == static_cast<int32_t>(text.size()));
    const size_t at = random() % text.size();
    context.assign(text.begin() + static_cast<int64_t>(at / 2), text.begin() + static_cast<int64_t>(at));
    const NgramIndex::Match match = index.find(text, context);
    CHECK(match.length == longest_agreement(text, context));
    if (match.length == 0) continue;
    ++found;
    REQUIRE((match.end >= match.length && match.end < static_cast<int32_t>(text.size())));
    CHECK(Ids(context.end() - match.length, context.end()) ==
          Ids(text.begin() + match.end - match.length, text.begin() + match.end));
  }
  CHECK(found > 100);
}

TEST_CASE("what followed before is proposed, and a period goes on") {
  CHECK(propose({1, 2, 3, 4, 5, 6, 1, 2, 3}, 2) == Ids{4, 5});
  CHECK(propose({1, 2, 3, 4, 5, 6, 1, 2, 3}, 15) == Ids{4, 5, 6, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6});
  CHECK(propose({7, 7, 7, 7}, 5) == Ids{7, 7, 7, 7, 7});
  CHECK(propose({1, 2, 3, 4, 1, 2}, 5).empty());
  CHECK(propose({1, 2}, 5).empty());
  CHECK(propose({}, 5).empty());
  // The longer agreement counts, not the later one.
  CHECK(propose({9, 1, 2, 3, 4, 8, 1, 2, 3, 5, 9, 1, 2, 3}, 1) == Ids{4});
}

TEST_CASE("finished outputs are proposed to others, to their end and no further") {
  NgramDrafter drafter;
  drafter.learn(Ids{1, 2, 3, 4, 5});
  drafter.learn(Ids{6, 7, 8, 9});
  CHECK(propose({3, 3, 2, 3, 4}, 9, drafter) == Ids{5});
  CHECK(propose({0, 3, 4, 5}, 9, drafter).empty());
  CHECK(propose({5, 6, 7, 8}, 9, drafter) == Ids{9});
  // A longer agreement in the text itself wins, and so does an equal one.
  CHECK(propose({0, 1, 2, 3, 4, 9, 0, 1, 2, 3, 4}, 1, drafter) == Ids{9});
  CHECK(propose({0, 1, 2, 3, 1, 0, 1, 2, 3}, 1, drafter) == Ids{1});
}

TEST_CASE("the memory of outputs is bounded, and the latest stay") {
  NgramDrafter drafter;
  Ids output(1 << 19);
  for (int32_t i = 0; i < 7; ++i) {
    for (size_t j = 0; j < output.size(); ++j) output[j] = static_cast<int32_t>(j) * 8 + i;
    drafter.learn(output);
  }
  CHECK(propose({80 + 6, 88 + 6, 96 + 6}, 2, drafter) == Ids{104 + 6, 112 + 6});
  CHECK(propose({80 + 5, 88 + 5, 96 + 5}, 1, drafter) == Ids{104 + 5});
  CHECK(propose({80, 88, 96}, 2, drafter).empty());
}

TEST_CASE("acceptance is learnt by position, and from others where little is known") {
  Acceptance all, own;
  CHECK(all.rate(0) == Approx(all.rate(7)));
  for (int i = 0; i < 200; ++i) all.record(4, i % 2 ? 1 : 4);
  CHECK(all.rate(0) > 0.95);
  CHECK(all.rate(1) == Approx(0.5).margin(0.1));
  CHECK(all.rate(2) > 0.9);
  CHECK(all.rate(9) == Approx(all.rate(4)).margin(0.1));  // never tried: as the last that was
  CHECK(own.rate(1, &all) == Approx(all.rate(1)));
  for (int i = 0; i < 100; ++i) own.record(2, 0);
  CHECK(own.rate(0, &all) < 0.1);
  CHECK(own.rate(1, &all) == Approx(all.rate(1)));  // nothing was learnt about it
  for (int i = 0; i < 100; ++i) own.record(2, 2);
  CHECK(own.rate(0, &all) > 0.8);
}
