"""What `scripts/bench` measures: one file a subject, the machinery in core, native, worker, turns, report and main."""

SUBJECTS = ("normals", "draws", "quadratic", "dense", "logistic", "diffusion", "own", "moments", "scaling", "memory")
