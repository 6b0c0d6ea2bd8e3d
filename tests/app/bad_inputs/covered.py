"""Where each of the issue's 211 cases is tested: in the tables here, in another test, or nowhere yet, with the reason."""

import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[3]
COUNTS = {"S": 60, "X": 14, "C": 22, "K": 14, "J": 44, "O": 24, "E": 33}

# Another test's file, and a word of it.
ELSEWHERE = {
    "S58": ("tests/engine/model/test_safetensors_folder.cpp", "shr"),
    "J42": ("tests/app/memory_is_bounded_by_the_window_not_the_input.sh", "peak memory"),
    "O07": ("tests/app/a_full_disk_leaves_whole_lines_and_is_74.sh", "74"),
    "O09": ("tests/app/any_failing_system_call_leaves_whole_lines_and_is_73_or_74.sh", '"write": ["EIO"'),
    "O10": ("tests/app/a_failed_fsync_is_not_tried_again.sh", "FAULT_DO=EIO"),
    "O11": ("tests/app/any_failing_system_call_leaves_whole_lines_and_is_73_or_74.sh", '"short"'),
    "O12": ("tests/app/any_failing_system_call_leaves_whole_lines_and_is_73_or_74.sh", '"EINTR"'),
    "O14": ("tests/app/a_reader_that_goes_away_is_74.sh", "74"),
    "O16": ("tests/app/an_output_that_is_deleted_is_74.sh", "74"),
    "O17": ("tests/app/second_run_on_one_output_stops_with_73.sh", "73"),
    "E24": ("tests/app/sigterm_stops_with_75_and_resumes.sh", "75"),
    "E25": ("tests/app/a_second_signal_stops_at_once.sh", "kill -"),
    "E26": ("tests/app/sigterm_stops_with_75_and_resumes.sh", "HUP"),
    "E28": ("tests/app/a_kill_at_any_moment_resumes.sh", "KILL"),
}
NEEDS_GPU = ["E02", "E03", "E04", "E05", "E06", "E07", "E08", "E09", "E10", "E11", "E13", "E14", "E18", "E19", "E20", "E29"]
NOT_HERE = {
    **{name: "cannot be made without a GPU" for name in NEEDS_GPU},
    "O08": "needs a quota; it is O07 by another errno",
    "C22": "there are no draft models yet",
    "O21": "needs a network file system",
    "O24": "needs a machine whose clock may be set",
    "E21": "only NCCL uses /dev/shm",
    "E23": "needs a memory cgroup of one's own; it is kill -9, E28",
}


def all_names():
    return [f"{letter}{number:02}" for letter, count in COUNTS.items() for number in range(1, count + 1)]


def gaps(row_names):
    """Cases of the list that nothing stands for, and claims that are not true."""
    rows = {name.split()[0] for name in row_names}
    missing = [name for name in all_names() if name not in rows and name not in ELSEWHERE and name not in NOT_HERE]
    faults = [f"{name} of the list is tested nowhere" for name in missing]
    for name, (file, word) in ELSEWHERE.items():
        path = ROOT / file
        if not path.exists() or word not in path.read_text():
            faults.append(f"{name}: {file} does not test it")
    return faults


def summary():
    by_reason = {}
    for name, reason in sorted(NOT_HERE.items()):
        by_reason.setdefault(reason, []).append(name)
    return "of the list not tested: " + "; ".join(f"{' '.join(names)} ({reason})" for reason, names in by_reason.items())
