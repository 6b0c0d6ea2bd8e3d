#!/usr/bin/env bash
# strace sees no socket, no second program, no write outside the output and the reports, and no read outside the model,
# the inputs and what is listed here of the system.
source "$(dirname "$0")/support/setup.sh"
[[ $PENSTOCK != */asan/* && $PENSTOCK != */tsan/* ]] || { echo 'left out: a sanitizer reads more, and none likes strace'; exit 0; }
mkdir run
cp -rL "$MODEL" model
{ requests 1 20; echo '{"id":"chat","messages":[{"role":"user","content":"hello"}],"max_tokens":2}'; echo '{bad'; } > in
trace=%file,%network,%process,%desc,mmap,truncate,memfd_create,shmget,io_uring_setup,ptrace
cd run
job=("$PENSTOCK" run ../model -i ../in -o out --errors errors --report report --progress log --device cpu --tensor-parallel 2)
code=0
strace -f -qq -y -s 0 -e "trace=$trace" -o ../trace "${job[@]}" 2> /dev/null || code=$?
[[ $code == 65 ]] || fail "exit $code"
code=0
strace -f -qq -y -s 0 -e "trace=$trace" -o ../trace_resumed "${job[@]}" --retry-errors 2> /dev/null || code=$?
[[ $code == 65 ]] || fail "exit $code"
cd ..
[[ $(ls run | tr '\n' ' ') == 'errors out report ' ]]
python3 - << 'PY'
import os
import re
import sys

HERE = os.getcwd()
WRITES = [f"{HERE}/run/{name}" for name in ("out", "errors", "report", "out.penstock-new", "errors.penstock-new")]
READS = [f"{HERE}/model/", f"{HERE}/in"]
# The dynamic linker's libraries (a build with CUDA looks in its toolkit first); the CPUs this process may use and its memory; the folders on the way to a file.
SYSTEM = ["/lib/", "/lib64/", "/usr/lib/", "/usr/local/lib/", "/usr/local/cuda", "/etc/ld.so.", "/proc/self/cgroup", "/proc/self/status", "/proc/self/stat",
          "/proc/meminfo", "/sys/fs/cgroup/", "/sys/devices/system/cpu/", "/sys/devices/system/node/", "/dev/null"]
LOOKED_AT = {"readlink", "stat", "lstat", "newfstatat", "access", "readlinkat", "statx", "faccessat2"}
WRITING = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC")
own = lambda path, places: any(path == place.rstrip("/") or path.startswith(place) for place in places)
wrong = []
seen = {"read": 0, "write": 0, "open": 0}

for name in ("trace", "trace_resumed"):
    executed = 0
    for line in open(name):
        line = re.sub(r"/proc/\d+/", "/proc/self/", line)
        match = re.match(r"\d+ +(?:<\.\.\. )?(\w+)(?: resumed>.*|\((.*))", line)
        if not match or match[2] is None:
            continue
        call, rest = match[1], match[2]
        quoted = re.search(r'"([^"]*)"', rest)
        base = re.match(r"\d+<([^>]*)>|AT_FDCWD<([^>]*)>", rest)
        on = re.match(r"\d+<([^>]*)>", rest)
        folder = (base[1] or base[2]) if base else f"{HERE}/run"
        path = os.path.normpath(os.path.join(folder, quoted[1])) if quoted else None
        if call in ("execve", "execveat"):
            executed += 1
        elif call in ("fork", "vfork") or (call in ("clone", "clone3") and "CLONE_THREAD" not in rest):
            wrong.append(line)
        elif call in ("open", "openat", "creat"):
            seen["open"] += 1
            place = WRITES if WRITING.search(rest) else READS + WRITES + SYSTEM
            if not own(path, place) and not ("O_DIRECTORY" in rest and path in (f"{HERE}/model", f"{HERE}/run")):
                wrong.append(line)
        elif call in ("write", "pwrite64", "writev", "ftruncate", "fsync", "fchmod"):
            seen["write"] += 1
            if not own(on[1], WRITES) and not rest.startswith("2<") and not on[1].startswith("anon_inode:[eventfd]") \
                    and not (call == "fsync" and on[1] == f"{HERE}/run"):
                wrong.append(line)
        elif call in ("read", "pread64", "mmap"):
            seen["read"] += 1
            file = re.search(r"\d+<([^>]*)>", rest)
            if file and not own(file[1], READS + WRITES + SYSTEM) and not file[1].startswith("anon_inode:[eventfd]"):
                wrong.append(line)
        elif call in ("rename", "unlink", "renameat", "unlinkat", "renameat2"):
            if not own(path, WRITES):
                wrong.append(line)
        elif call in ("socket", "connect", "bind", "sendto", "sendmsg", "socketpair", "accept", "listen", "mkdir", "link",
                      "symlink", "chmod", "chown", "truncate", "memfd_create", "shmget", "io_uring_setup", "ptrace",
                      "mkdirat", "linkat", "symlinkat", "fchmodat", "fchownat", "utimensat", "mknod", "kill", "tgkill"):
            wrong.append(line)
        elif call in LOOKED_AT and path:
            on_the_way = any(place.startswith(path.rstrip("/") + "/") for place in READS + WRITES)
            if not on_the_way and not own(path, READS + WRITES + SYSTEM):
                wrong.append(line)
    assert executed == 1, f"{executed} programs were started"
sys.exit("".join(wrong[:20]) or (None if all(seen.values()) else f"saw nothing: {seen}"))
PY
