# Sourced by the other scripts: what Penstock needs from Debian and PyPI, installed only when missing.

build_packages=(g++ cmake ninja-build ccache pkg-config libcli11-dev nlohmann-json3-dev libpcre2-dev libutf8proc-dev
                libxxhash-dev python3 python3-venv ca-certificates)
test_packages=(catch2 python3-numpy strace time locales chromium fonts-dejavu-core)  # the browser looks at report pages
fuzz_packages=(clang-16 libclang-rt-16-dev)

# need PACKAGE…: apt-get installs those that dpkg does not know.
need() {
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  echo "installing ${missing[*]}" >&2
  local sudo=()
  [ "$(id -u)" -eq 0 ] || sudo=(sudo)
  "${sudo[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# need_python MODULE…: into the project's own virtual environment, .venv.
need_python() {
  [ -x .venv/bin/python ] || python3 -m venv .venv
  for module in "$@"; do
    .venv/bin/python -c "import ${module%%[=<>]*}" 2>/dev/null || .venv/bin/pip install --quiet "$module"
  done
}
