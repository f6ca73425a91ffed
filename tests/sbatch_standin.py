"""Stands in for SLURM's sbatch: runs a job script at once, task by task, with the environment that SLURM gives it.

Takes --parsable, --array=A-B and --dependency=afterok:JOB, also from `#SBATCH` lines, refuses what sbatch refuses, and keeps
the exit code of each job in $SBATCH_STANDIN. Prints the number of the job.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

KNOWN = {"array", "cpus-per-task", "dependency", "job-name", "output", "parsable", "signal", "time"}


def main():
    given, script = {}, None
    arguments = sys.argv[1:]
    while arguments and arguments[0].startswith("--"):
        name, _, value = arguments.pop(0)[2:].partition("=")
        given[name] = value
    script, *arguments = arguments
    text = Path(script).read_text()
    assert text.startswith("#!"), "sbatch: error: This does not look like a batch script."
    head = re.split(r"^(?!#|$)", text, maxsplit=1, flags=re.M)[0]  # sbatch reads them up to the first command
    lines = dict(re.findall(r"^#SBATCH --([a-z-]+)=?(\S*)", head, flags=re.M))
    asked = lines | given
    assert set(asked) <= KNOWN, f"sbatch: unrecognized option {set(asked) - KNOWN}"
    jobs = Path(os.environ["SBATCH_STANDIN"])
    job = len(list(jobs.iterdir())) + 1
    if "dependency" in asked:
        kind, before = asked["dependency"].split(":")
        assert kind == "afterok"
        if (jobs / before).read_text() != "0":
            (jobs / str(job)).write_text("cancelled")
            print(job)
            return
    first, last = map(int, asked["array"].split("-")) if "array" in asked else (0, 0)
    codes = []
    for task in range(first, last + 1):
        env = os.environ | {"SLURM_JOB_ID": str(job), "SLURM_CPUS_PER_TASK": "1"}
        if "array" in asked:
            env |= {"SLURM_ARRAY_JOB_ID": str(job), "SLURM_ARRAY_TASK_ID": str(task)}
            env |= {"SLURM_ARRAY_TASK_COUNT": str(last - first + 1)}
        log = asked["output"].replace("%A", str(job)).replace("%j", str(job)).replace("%a", str(task))
        with Path(log).open("w") as out:
            # sbatch runs a copy in its spool folder: a script cannot find its neighbours by $0.
            copy = jobs.parent / "slurm_script"
            copy.write_text(text)
            codes.append(subprocess.call(["bash", str(copy), *arguments], stdout=out, stderr=out, env=env))
    (jobs / str(job)).write_text(str(max(codes)))
    print(job)


main()
