// System calls that a signal may interrupt.
#pragma once
#include <cerrno>

namespace penstock {

// Repeats `call`, which returns a negative number and sets errno as system calls do, while it is interrupted. No signal
// does that a thousand times in a row: where it happens something is broken, and EINTR is the answer, not a hang.
template <class Call>
auto uninterrupted(Call call) {
  auto result = call();
  for (int again = 0; result < 0 && errno == EINTR && again < 1000; ++again) result = call();
  return result;
}

}  // namespace penstock
