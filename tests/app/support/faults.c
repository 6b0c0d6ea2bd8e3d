// LD_PRELOAD: lets the n-th system call on chosen files fail, or strikes the process at it. Told by the environment:
//   FAULT_PATHS   path prefixes, absolute, separated by colons: calls on other files are not counted
//   FAULT_CALL    open, read, pread, write, fsync, ftruncate, rename, close, or any: all of these
//   FAULT_AT      n, from 1
//   FAULT_DO      EIO, ENOSPC, EINTR, EMFILE: the call fails and has done nothing (close: has closed)
//                 short: half of the bytes are read or written;  torn: half are written, then SIGKILL
//                 KILL, TERM, INT, HUP, USR1, STOP: the call is made, then the signal sent to the process
//   FAULT_FOREVER set: so do all calls after the n-th
//   FAULT_LOG     a file that gets a line for each strike
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum act { NONE, FAIL, SHORT, TORN, SIGNAL };

static atomic_long g_calls;

enum { ROOM = 2 * PATH_MAX + 2 };  // a folder and a name

static int watched(const char* path) {
  const char* at = getenv("FAULT_PATHS");
  while (at && *at) {
    const size_t size = strcspn(at, ":");
    if (size > 0 && strncmp(path, at, size) == 0) return 1;
    at += size + (at[size] == ':');
  }
  return 0;
}

static int path_of(int descriptor, char* path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const long size = syscall(SYS_readlink, link, path, PATH_MAX - 1);
  path[size < 0 ? 0 : size] = 0;
  return size > 0;
}

static void path_at(int folder, const char* name, char* path) {
  char base[PATH_MAX] = "";
  if (name[0] != '/' && folder == AT_FDCWD && !getcwd(base, sizeof base)) base[0] = 0;
  if (name[0] != '/' && folder != AT_FDCWD) path_of(folder, base);
  snprintf(path, ROOM, "%s%s%s", base, base[0] ? "/" : "", name);
}

static void log_strike(const char* call, const char* path) {
  char line[ROOM + 32];
  const char* name = getenv("FAULT_LOG");
  const long file = name ? syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
  if (file < 0) return;
  const int size = snprintf(line, sizeof line, "%s %s\n", call, path);
  syscall(SYS_write, file, line, size);
  syscall(SYS_close, file);
}

// What becomes of this call. Sets errno for FAIL, *number for SIGNAL.
static enum act decide(const char* call, const char* path, int* number) {
  static const struct {
    const char* name;
    enum act act;
    int number;
  } kActs[] = {{"EIO", FAIL, EIO},      {"ENOSPC", FAIL, ENOSPC}, {"EINTR", FAIL, EINTR},    {"EMFILE", FAIL, EMFILE},
               {"short", SHORT, 0},     {"torn", TORN, 0},        {"KILL", SIGNAL, SIGKILL}, {"TERM", SIGNAL, SIGTERM},
               {"INT", SIGNAL, SIGINT}, {"HUP", SIGNAL, SIGHUP},  {"USR1", SIGNAL, SIGUSR1}, {"STOP", SIGNAL, SIGSTOP}};
  const char *wanted = getenv("FAULT_CALL"), *at = getenv("FAULT_AT"), *what = getenv("FAULT_DO");
  if (!wanted || !at || !what || !watched(path)) return NONE;
  if (strcmp(wanted, call) != 0 && strcmp(wanted, "any") != 0) return NONE;
  const long count = atomic_fetch_add(&g_calls, 1) + 1, first = atol(at);
  if (count < first || (count > first && !getenv("FAULT_FOREVER"))) return NONE;
  for (size_t i = 0; i < sizeof kActs / sizeof kActs[0]; ++i) {
    if (strcmp(kActs[i].name, what) != 0) continue;
    log_strike(call, path);
    if (kActs[i].act == FAIL) errno = kActs[i].number;
    *number = kActs[i].number;
    return kActs[i].act;
  }
  abort();
}

static enum act decide_on(const char* call, int descriptor, int* number) {
  char path[ROOM];
  return path_of(descriptor, path) ? decide(call, path, number) : NONE;
}

static long strike(long result, enum act act, int number) {
  const int saved = errno;
  if (act == SIGNAL) kill(getpid(), number);
  if (act == TORN) kill(getpid(), SIGKILL);
  errno = saved;
  return result;
}

// The function that would have been called without this library.
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
static size_t part(size_t size, enum act act) { return (act == SHORT || act == TORN) && size > 1 ? size / 2 : size; }

#define OPEN(name)                                                                     \
  int name(const char* file, int flags, ...) {                                         \
    va_list more;                                                                      \
    va_start(more, flags);                                                             \
    const mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;    \
    va_end(more);                                                                      \
    char path[ROOM];                                                                   \
    path_at(AT_FDCWD, file, path);                                                     \
    int number;                                                                        \
    const enum act act = decide("open", path, &number);                                \
    return act == FAIL ? -1 : (int)strike(NEXT(name)(file, flags, mode), act, number); \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                           \
  int name(int folder, const char* file, int flags, ...) {                                     \
    va_list more;                                                                              \
    va_start(more, flags);                                                                     \
    const mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;            \
    va_end(more);                                                                              \
    char path[ROOM];                                                                           \
    path_at(folder, file, path);                                                               \
    int number;                                                                                \
    const enum act act = decide("open", path, &number);                                        \
    return act == FAIL ? -1 : (int)strike(NEXT(name)(folder, file, flags, mode), act, number); \
  }
OPENAT(openat)
OPENAT(openat64)

// The calls on a descriptor: `call` is made with what the act leaves of its size.
#define CALL(type, word, descriptor, call)                   \
  int number;                                                \
  const enum act act = decide_on(word, descriptor, &number); \
  return act == FAIL ? -1 : (type)strike(call, act, number)

ssize_t read(int d, void* to, size_t size) { CALL(ssize_t, "read", d, NEXT(read)(d, to, part(size, act))); }
ssize_t write(int d, const void* from, size_t size) {
  CALL(ssize_t, "write", d, NEXT(write)(d, from, part(size, act)));
}
ssize_t pread(int d, void* to, size_t size, off_t at) {
  CALL(ssize_t, "pread", d, NEXT(pread)(d, to, part(size, act), at));
}
ssize_t pread64(int d, void* to, size_t size, off64_t at) {
  CALL(ssize_t, "pread", d, NEXT(pread64)(d, to, part(size, act), at));
}
int fsync(int d) { CALL(int, "fsync", d, NEXT(fsync)(d)); }
int fdatasync(int d) { CALL(int, "fsync", d, NEXT(fdatasync)(d)); }
int ftruncate(int d, off_t size) { CALL(int, "ftruncate", d, NEXT(ftruncate)(d, size)); }
int ftruncate64(int d, off64_t size) { CALL(int, "ftruncate", d, NEXT(ftruncate64)(d, size)); }

int close(int d) {
  int number;
  const enum act act = decide_on("close", d, &number);
  const int error_number = errno, result = NEXT(close)(d);
  if (act == FAIL) errno = error_number;
  return act == FAIL ? -1 : (int)strike(result, act, number);
}

int rename(const char* from, const char* to) {
  char path[ROOM];
  path_at(AT_FDCWD, to, path);
  int number;
  const enum act act = decide("rename", path, &number);
  return act == FAIL ? -1 : (int)strike(NEXT(rename)(from, to), act, number);
}
