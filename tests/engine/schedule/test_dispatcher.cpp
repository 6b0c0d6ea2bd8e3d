#include "engine/schedule/dispatcher.h"

#include <algorithm>
#include <map>
#include <random>

#include "tests/support/catch.h"

namespace penstock {
namespace {

// A prompt of `tokens` that begins like all with the same `topic`.
SequenceInput input(uint64_t tag, int32_t topic, size_t tokens, uint64_t request) {
  SequenceInput input;
  input.tag = tag;
  input.request = request;
  input.prompt.assign(tokens, topic);
  return input;
}
std::vector<SequenceInput> alone(uint64_t tag, size_t tokens = 10) {
  return {input(tag, static_cast<int32_t>(tag), tokens, tag)};
}

// What each replica is given now.
std::map<size_t, std::vector<uint64_t>> give(Dispatcher& dispatcher, std::vector<ReplicaLoad>& loads) {
  std::map<size_t, std::vector<uint64_t>> given;
  while (auto share = dispatcher.next(loads))
    for (const SequenceInput& one : share->sequences) given[share->replica].push_back(one.tag);
  return given;
}

TEST_CASE("a single replica gets everything at once") {
  Dispatcher dispatcher(4, 32);
  for (uint64_t tag = 0; tag < 100; ++tag) dispatcher.add(alone(tag));
  std::vector<ReplicaLoad> loads(1);
  CHECK(give(dispatcher, loads)[0].size() == 100);
}

TEST_CASE("few sequences go to those who have fewest, a step's prompts at the most") {
  Dispatcher dispatcher(64, 32);
  std::vector<ReplicaLoad> loads(3);
  loads[1].running = 2;
  for (uint64_t tag = 0; tag < 3; ++tag) dispatcher.add(alone(tag));
  auto given = give(dispatcher, loads);
  CHECK(given[0] == std::vector<uint64_t>{0, 2});
  CHECK(given[2] == std::vector<uint64_t>{1});
  CHECK(given.count(1) == 0);

  loads = {{.running = 64}, {.running = 3, .waiting = 1}, {.running = 63}};  // no slot, no room, one slot
  for (uint64_t tag = 3; tag < 6; ++tag) dispatcher.add(alone(tag));
  given = give(dispatcher, loads);
  CHECK(given == std::map<size_t, std::vector<uint64_t>>{{2, {3}}});
  loads = {{}, {.running = 64}, {.running = 64}};
  dispatcher.add(alone(6));
  CHECK(give(dispatcher, loads)[0] == std::vector<uint64_t>{4, 5, 6});  // 3 x 10 of 32 tokens
}

TEST_CASE("a prompt longer than a step goes where nothing else is queued") {
  Dispatcher dispatcher(64, 32);
  std::vector<ReplicaLoad> loads(2);
  for (uint64_t tag = 0; tag < 3; ++tag) dispatcher.add(alone(tag, 100));
  auto given = give(dispatcher, loads);
  CHECK(given[0] == std::vector<uint64_t>{0});
  CHECK(given[1] == std::vector<uint64_t>{1});
}

TEST_CASE("what begins alike in one line stays together, lines do not") {
  Dispatcher dispatcher(64, 1000);
  std::vector<ReplicaLoad> loads(2);
  // Three choices of a short prompt, two continuations of a long context, another prompt.
  dispatcher.add({input(0, 7, 3, 1), input(1, 7, 3, 1), input(2, 7, 3, 1), input(3, 8, 40, 2), input(4, 8, 50, 3),
                  input(5, 9, 40, 4)});
  dispatcher.add({input(6, 9, 40, 5)});
  auto given = give(dispatcher, loads);
  CHECK(given[0] == std::vector<uint64_t>{0, 1, 2, 6});
  CHECK(given[1] == std::vector<uint64_t>{3, 4, 5});
}

TEST_CASE("while many wait each replica has a stock of neighbours") {
  Dispatcher dispatcher(4, 40);
  for (uint64_t tag = 0; tag < 400; ++tag) dispatcher.add(alone(tag));
  std::vector<ReplicaLoad> loads(2);
  auto given = give(dispatcher, loads);
  REQUIRE(given[0].size() >= 50);
  REQUIRE(given[1].size() >= 50);
  for (size_t i = 1; i < 50; ++i) CHECK(given[0][i] == given[0][i - 1] + 1);
  // It is left alone until half of it is gone.
  loads[0].waiting = loads[0].queued * 3 / 4, loads[1].waiting = loads[1].queued;
  loads[0].queued = loads[1].queued = 0;
  CHECK(give(dispatcher, loads).empty());
  loads[0].waiting = 1;
  CHECK(give(dispatcher, loads)[0].size() > 10);
}

TEST_CASE("everything is given once, and the replicas come to their ends together") {
  std::mt19937 random(5);
  for (int round = 0; round < 50; ++round) {
    const size_t replicas = 2 + random() % 4;
    const auto total = static_cast<uint64_t>(1 + random() % 600);
    const int64_t slots = 1 + random() % 16;
    Dispatcher dispatcher(static_cast<int32_t>(slots), 100);
    std::vector<ReplicaLoad> loads(replicas);
    std::vector<int> times(total, 0), busy_until(replicas, 0);
    uint64_t added = 0, ended = 0;
    for (int step = 0; ended < total; ++step) {
      REQUIRE(step < 100000);
      for (uint64_t n = random() % 50; n > 0 && added < total; --n, ++added)
        dispatcher.add(alone(added, 1 + random() % 30));
      for (auto& [replica, tags] : give(dispatcher, loads))
        for (uint64_t tag : tags) ++times[tag];
      for (size_t r = 0; r < replicas; ++r) {  // a step of each: begins what it has slots for, each ends 1 in 8 times
        ReplicaLoad& load = loads[r];
        load.waiting += load.queued;
        load.queued = load.queued_tokens = 0;
        const int64_t begins = std::min(load.waiting, slots - load.running);
        load.running += begins, load.waiting -= begins;
        if (load.running > 0) busy_until[r] = step;
        for (int64_t n = load.running; n > 0; --n)
          if (random() % 8 == 0) --load.running, ++ended;
      }
    }
    for (int count : times) REQUIRE(count == 1);
    if (total < 100 * replicas) continue;  // a matter of chance
    const auto [first, last] = std::minmax_element(busy_until.begin(), busy_until.end());
    CHECK(*first >= 0.75 * *last - 16);
  }
}

TEST_CASE("what was not given can be dropped") {
  Dispatcher dispatcher(1, 10);
  for (uint64_t tag = 0; tag < 5; ++tag) dispatcher.add(alone(tag));
  std::vector<ReplicaLoad> loads(2);
  CHECK(give(dispatcher, loads).size() == 2);
  CHECK(dispatcher.drop_all() == std::vector<uint64_t>{2, 3, 4});
  CHECK(dispatcher.drop_all().empty());
  CHECK(!dispatcher.next(loads));
}

}  // namespace
}  // namespace penstock
