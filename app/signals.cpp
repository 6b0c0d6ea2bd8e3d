#include "app/signals.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <string>

#include "engine/stage_timer.h"
#include "kernels/error.h"

namespace penstock {

namespace {

// A signal handler can reach nothing but globals.
std::atomic<int> g_count{0};
std::atomic<int> g_descriptor{-1};
std::atomic<double> g_first_seconds{0};
std::atomic<bool> g_exit_at_second{false};

constexpr int kStopSignals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};

void on_signal(int) {
  if (++g_count > 1 && g_exit_at_second) ::_exit(static_cast<int>(ExitCode::stopped_early));
  if (g_first_seconds == 0) g_first_seconds = monotonic_seconds();
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t ignored = ::write(g_descriptor, &one, sizeof one);
}

void mask_stop_signals(int how) {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : kStopSignals) sigaddset(&set, signal);
  pthread_sigmask(how, &set, nullptr);
}

}  // namespace

void block_stop_signals() { mask_stop_signals(SIG_BLOCK); }
void unblock_stop_signals() { mask_stop_signals(SIG_UNBLOCK); }

StopSignals::StopSignals() {
  g_count = 0;
  g_first_seconds = 0;
  g_exit_at_second = true;
  g_descriptor = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (g_descriptor < 0) throw Error(ExitCode::io, std::string("eventfd: ") + std::strerror(errno));
  struct sigaction action {};
  action.sa_handler = on_signal;  // without SA_RESTART: a blocked open() returns
  for (int signal : kStopSignals) {
    struct sigaction before;
    ::sigaction(signal, nullptr, &before);
    const bool nohup = signal == SIGHUP && before.sa_handler == SIG_IGN;
    if (!nohup) ::sigaction(signal, &action, nullptr);
  }
  unblock_stop_signals();
}

StopSignals::~StopSignals() {
  for (int signal : kStopSignals) ::signal(signal, SIG_IGN);
  ::close(g_descriptor.exchange(-1));
}

void StopSignals::exit_at_second(bool exits) { g_exit_at_second = exits; }
double StopSignals::first_seconds() const { return g_first_seconds; }
int StopSignals::descriptor() const { return g_descriptor; }
int StopSignals::count() const { return g_count; }

void StopSignals::drain() {
  uint64_t value;
  [[maybe_unused]] const ssize_t ignored = ::read(g_descriptor, &value, sizeof value);
}

WakeUp::WakeUp() : descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (descriptor_ < 0) throw Error(ExitCode::io, std::string("eventfd: ") + std::strerror(errno));
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
