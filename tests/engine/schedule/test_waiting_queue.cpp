#include "engine/schedule/waiting_queue.h"

#include <memory>
#include <string>
#include <vector>

#include "tests/support/catch.h"

using namespace penstock;

namespace {

// Names a sequence by its first id, and its length by how often the id is repeated.
std::unique_ptr<Sequence> sequence(uint64_t arrival, std::vector<int32_t> prompt, int32_t max_new = 1) {
  auto made = std::make_unique<Sequence>();
  made->arrival = arrival;
  made->input.tag = arrival;
  made->prompt_size = static_cast<int32_t>(prompt.size());
  made->tokens = std::move(prompt);
  made->max_new = max_new;
  return made;
}

std::vector<uint64_t> drain(WaitingQueue& queue) {
  std::vector<uint64_t> order;
  while (Sequence* next = queue.next([](const Sequence&) { return true; })) {
    queue.check_consistency();
    order.push_back(queue.take(*next)->arrival);
  }
  return order;
}

}  // namespace

TEST_CASE("equal first blocks go together, longest first") {
  WaitingQueue queue(64, 2);
  queue.push(sequence(1, {1, 1, 5}));
  queue.push(sequence(2, {2, 2, 5, 5}, 3));
  queue.push(sequence(3, {1, 1, 6, 6, 6, 6, 6, 6}));
  queue.push(sequence(4, {2, 2}));
  queue.push(sequence(5, {2, 2, 9, 9, 9}));
  CHECK(queue.size() == 5);
  CHECK(drain(queue) == std::vector<uint64_t>{3, 1, 2, 5, 4});
  CHECK(queue.empty());
}

TEST_CASE("only the window is reordered") {
  WaitingQueue queue(2, 4);
  queue.push(sequence(1, {1}));
  queue.push(sequence(2, {2, 2}));
  queue.push(sequence(3, {3, 3, 3}));
  CHECK(drain(queue) == std::vector<uint64_t>{2, 3, 1});
  WaitingQueue in_order(1, 4);
  for (uint64_t i = 1; i <= 4; ++i) in_order.push(sequence(i, std::vector<int32_t>(i, 1)));
  CHECK(drain(in_order) == std::vector<uint64_t>{1, 2, 3, 4});
}

TEST_CASE("a short sequence is overtaken no more often than the window is long") {
  WaitingQueue queue(3, 4);
  queue.push(sequence(1, {1}));
  for (uint64_t i = 2; i <= 20; ++i) queue.push(sequence(i, {2, 2, 2, 2, 2}));
  CHECK(drain(queue) == std::vector<uint64_t>{2, 3, 4, 5, 1, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20});
}

TEST_CASE("sequences that are not ready are passed over and stay") {
  WaitingQueue queue(8, 4);
  queue.push(sequence(1, {1, 1, 1}));
  queue.push(sequence(2, {2, 2}));
  Sequence* next = queue.next([](const Sequence& s) { return s.arrival != 1; });
  REQUIRE(next);
  CHECK(next->arrival == 2);
  CHECK(queue.next([](const Sequence&) { return false; }) == nullptr);
  CHECK(queue.size() == 2);
}

TEST_CASE("all are taken out in order of arrival") {
  WaitingQueue queue(2, 4);
  for (uint64_t i = 1; i <= 4; ++i) queue.push(sequence(i, std::vector<int32_t>(i, 1)));
  std::vector<uint64_t> order;
  for (const auto& taken : queue.take_all()) order.push_back(taken->arrival);
  CHECK(order == std::vector<uint64_t>{1, 2, 3, 4});
  CHECK(queue.empty());
  queue.check_consistency();
}
