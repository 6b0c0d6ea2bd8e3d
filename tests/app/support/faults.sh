# Sourced after setup.sh: builds faults.c for LD_PRELOAD, and lets python3 find durable.py.
gcc -O1 -Wall -Wextra -Werror -shared -fPIC "$support/faults.c" -o "$here/faults.so" -ldl
export FAULTS=$here/faults.so PYTHONPATH=$support PYTHONDONTWRITEBYTECODE=1 PENSTOCK MODEL
# A sanitizer wants to be the first of the preloaded libraries.
export ASAN_OPTIONS=verify_asan_link_order=0:${ASAN_OPTIONS:-}
