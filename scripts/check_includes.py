#!/usr/bin/env python3
"""Includes go app -> engine -> kernels and never back; only kernels/cuda may include a CUDA header."""

import pathlib
import re
import sys

ALLOWED = {"app": {"app", "engine", "kernels"}, "engine": {"engine", "kernels"}, "kernels": {"kernels"}}

wrong = []
for layer, allowed in ALLOWED.items():
    for path in sorted(pathlib.Path(layer).rglob("*")):
        if path.suffix not in {".h", ".cpp", ".cu", ".cuh"}:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+["<]([^">]+)', line)
            if not match:
                continue
            name = match.group(1)
            first = name.split("/")[0]
            if first in ALLOWED and first not in allowed:
                wrong.append(f"{path}:{number}: {layer} must not include {name}")
            if re.match(r"(cuda|cublas|nccl)", name) and "cuda" not in path.parts:
                wrong.append(f"{path}:{number}: {name} outside kernels/cuda")
print("\n".join(wrong) or "includes go one way")
sys.exit(1 if wrong else 0)
