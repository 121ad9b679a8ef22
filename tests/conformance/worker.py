"""One of several workers that train tiny models for two steps.

    python worker.py SUBJECTS FOLDER

SUBJECTS is a JSON list of (model, preset, folder of runs); TF_CONFIG says who the workers are. FOLDER will
hold `<model>-<preset>-<step>-<worker>.npz`, all that a checkpoint has. The first step is that of
`Subject.first_step`.
"""

import json
import sys
from pathlib import Path

from zoo.memory import keep_freed

keep_freed()

import keras  # noqa: E402

from zoo import checkpoints, training  # noqa: E402
from zoo.workers import join  # noqa: E402

workers = join()
for name, preset, runs in json.loads(sys.argv[1]):
    plan = training.plan(name, preset=preset, runs=runs)
    keras.utils.clear_session(free_memory=False)
    with workers.strategy.scope():
        model = training.build(plan)
        training.begin(plan, model)
        descent = {turn: keras.optimizers.SGD(0.1) for turn in model.turn_optimizers}
        model.compile(descent, seed=1, averages=plan.settings["averages"])
    for step in range(2):
        batches = workers.part(plan.batches(1, step))
        model.fit(batches, epochs=1, steps_per_epoch=1, shuffle=False, verbose=0)
        path = Path(sys.argv[2]) / f"{name}-{preset}-{step + 1}-{workers.index}.npz"
        checkpoints.write(path, checkpoints.values(model.state()), {})
workers.agreed(0)
