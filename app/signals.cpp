#include "app/signals.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>

#include "kernels/error.h"

namespace penstock {

namespace {

// A signal handler can reach nothing but globals.
std::atomic<int> g_count{0};
std::atomic<int> g_descriptor{-1};

constexpr int kStopSignals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};

void on_signal(int) {
  ++g_count;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t ignored = ::write(g_descriptor, &one, sizeof one);
}

}  // namespace

void block_stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : kStopSignals) sigaddset(&set, signal);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

StopSignals::StopSignals() {
  g_count = 0;
  g_descriptor = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (g_descriptor < 0) throw Error(ExitCode::internal, "eventfd: out of file descriptors");
  struct sigaction action {};
  action.sa_handler = on_signal;  // without SA_RESTART: a blocked write() returns
  for (int signal : kStopSignals) {
    struct sigaction before;
    ::sigaction(signal, nullptr, &before);
    const bool nohup = signal == SIGHUP && before.sa_handler == SIG_IGN;
    if (!nohup) ::sigaction(signal, &action, nullptr);
  }
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
}

StopSignals::~StopSignals() {
  for (int signal : kStopSignals) ::signal(signal, SIG_DFL);
  ::close(g_descriptor.exchange(-1));
}

int StopSignals::descriptor() const { return g_descriptor; }
int StopSignals::count() const { return g_count; }

void StopSignals::drain() {
  uint64_t value;
  [[maybe_unused]] const ssize_t ignored = ::read(g_descriptor, &value, sizeof value);
}

WakeUp::WakeUp() : descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (descriptor_ < 0) throw Error(ExitCode::internal, "eventfd: out of file descriptors");
}
WakeUp::~WakeUp() { ::close(descriptor_); }

void WakeUp::notify() const {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t ignored = ::write(descriptor_, &one, sizeof one);
}

void WakeUp::drain() const {
  uint64_t value;
  [[maybe_unused]] const ssize_t ignored = ::read(descriptor_, &value, sizeof value);
}

}  // namespace penstock
