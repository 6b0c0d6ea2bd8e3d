// How CPU threads wait for each other: first hot, then politely, then asleep.
#pragma once
#include <atomic>

namespace penstock::cpu {

// Returns once `word` differs from `old` (acquire). Whoever changes it must call notify_one or notify_all afterwards.
// Reacts within a fraction of a microsecond for the first microseconds, gives its core to other threads for the rest
// of the first 50, then sleeps in the kernel: more waiting threads than cores cost time, but never a time slice each.
void wait_for_change(const std::atomic<int>& word, int old);

}  // namespace penstock::cpu
