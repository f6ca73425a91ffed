"""What `scripts/bench` measures: one file a subject, the machinery in core, native, worker, turns, report and main."""

SUBJECTS = (
    "normals", "draws", "quadratic", "dense", "logistic", "diffusion", "own", "moments", "scaling", "memory", "outside",
)  # fmt: skip
RUNS = ("memory", "outside")  # subjects that measure whole runs, by themselves
