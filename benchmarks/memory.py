"""What does a training step cost when freed memory is kept, and when the C library does as it likes?

    python benchmarks/memory.py

For each model, steps of its preset in two processes, one of which calls `zoo.memory.keep_freed`; the other
has the default number of arenas in its environment, which goes first. Processor time of all threads, the
system's part of it (where the pages are filled with zeros), page faults, and the largest resident size.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys

PRESETS = ("imagegpt:digits", "pixelcnn:digits", "rnn:digits", "vit:digits", "vae:glyphs", "dcgan:glyphs")


def measure(model: str, preset: str, steps: int) -> None:
    """Prints milliseconds a step, of it in the system, faults a step, and megabytes."""
    from zoo.memory import keep_freed

    keep_freed()
    from zoo import training

    plan = training.plan(model, preset=preset)
    built = training.build(plan)

    def fit(count: int) -> resource.struct_rusage:
        built.fit(plan.batches(count), steps_per_epoch=count, shuffle=False, verbose=0)
        return resource.getrusage(resource.RUSAGE_SELF)

    before, after = fit(3), fit(steps)
    system = after.ru_stime - before.ru_stime
    total = after.ru_utime - before.ru_utime + system
    print(1000 * total / steps, 1000 * system / steps, (after.ru_minflt - before.ru_minflt) / steps)
    print(after.ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presets", nargs="+", default=PRESETS, metavar="MODEL:PRESET")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--one", action="store_true", help="measure the first in this process")
    options = parser.parse_args()
    if options.one:
        measure(*options.presets[0].split(":"), options.steps)
        return
    print(f"{os.cpu_count()} cores; processor time of a step in ms, of it in the system, page faults, MB\n")
    print("| preset | as it likes | system | faults | MB | kept | system | faults | MB | ratio |")
    print("|---|", "---:|" * 9, sep="")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    for preset in options.presets:
        rows = []
        for environment in ({"MALLOC_ARENA_MAX": str(8 * (os.cpu_count() or 1))}, {}):
            command = [sys.executable, __file__, "--one", "--steps", str(options.steps), "--presets", preset]
            result = subprocess.run(
                command, env=inherited | environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                text=True, check=True,
            )  # fmt: skip
            rows.append([float(value) for value in result.stdout.split()[-4:]])
        cells = " | ".join(f"{value:,.0f}" for row in rows for value in row)
        print(f"| {preset} | {cells} | {rows[0][0] / rows[1][0]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
