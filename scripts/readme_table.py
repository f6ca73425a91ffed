"""The tables between the markers of README.md, from reproduction/results.json and the stored run on real data."""

import json
from pathlib import Path
from typing import Any

import fastsgd
from fastsgd.experiments.text import power_text

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- results:begin (scripts/readme writes this) -->", "<!-- results:end -->"


def reproduction(results: dict[str, Any]) -> list[str]:
    """A line an experiment: tests, largest |z| and its limit, controls with their least power, verdict."""
    rows, p = results["z"]["rows"], results["z"]["kolmogorov_smirnov_p"]
    lines = [
        f"`fastsgd reproduce --all --scale {results['scale']}`: {results['runs']} runs, {results['replicate_steps']:.2g} "
        f"replicate-steps, verdict **{results['verdict']}**; z over {rows} tested rows against the standard normal, "
        f"as if independent: Kolmogorov-Smirnov p = {p:.2g}.",
        "",
        "| experiment | paper | tests | largest \\|z\\| | limit | controls rejected | least power | verdict |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for one in results["entries"]:
        largest = max(abs(row["z"]) for row in one["rows"] if row["tested"] and row["z"] is not None)
        controls = one["controls"]
        rejected = f"{sum(c['rejected'] for c in controls)} of {len(controls)}"
        least = power_text(min(c["power"] for c in controls))
        lines.append(
            f"| {one['name']} | {one['paper']} | {one['tests']} | {largest:.2f} | {one['threshold']:.2f} | {rejected} | "
            f"{least} | {one['verdict']} |"
        )
    return lines


def plateau(results: dict[str, Any]) -> list[str]:
    """Measured over predicted at every horizon beside Table 3."""
    (entry,) = (one for one in results["entries"] if one["name"] == "plateau")
    cells: dict[str, dict[str, str]] = {}
    for row in entry["rows"]:
        if row["quantity"] == "risk":
            arm, step = row["where"].split(", step ")
            error = row["standard_error"] / row["predicted"]
            cells.setdefault(step, {})[arm] = f"{row['ratio']:.4f} ± {error:.4f} | {row['published'] or 0:.3f}"
    arms = list(next(iter(cells.values())))
    lines = [
        f"Table 3 of the paper, measured / predicted ± standard error. {entry['published']['text']}",
        "",
        "| step | " + " | ".join(f"{arm} | paper" for arm in arms) + " |",
        "|---:|" + "---:|---:|" * len(arms),
    ]
    return lines + [f"| {step} | " + " | ".join(of[arm] for arm in arms) + " |" for step, of in cells.items()]


def breast_cancer() -> list[str]:
    """How the nonlinear correction shrinks with the step size on real data."""
    report = fastsgd.ratio(ROOT / "runs" / "breast-cancer.h5")
    lines = [
        "`runs/breast-cancer.toml`: logistic regression on 569 real cases, batches of 64 without replacement. The frozen-noise "
        f"prediction is off by O(step size), and extrapolated to step size 0 the ratio is 1: verdict **{report.verdict}**.",
        "",
        "| step size | quantity | ratio | standard error | z |",
        "|---:|---|---:|---:|---:|",
    ]
    sizes = {
        name: arm.step.size
        for name, arm in fastsgd.open_run(ROOT / "runs" / "breast-cancer.h5").spec.arm_specs().items()
    }
    for row in report.rows:
        if row.quantity.startswith(("risk (all", "covariance (all", "risk (step", "covariance (step")):
            size = f"{sizes[row.arm]:g}" if row.arm in sizes else "-> 0"
            where = "all steps" if row.step is None else f"step {row.step}"
            quantity = f"{row.quantity.split(' (')[0]}, {where}"
            lines.append(f"| {size} | {quantity} | {row.ratio:.4f} | {row.standard_error:.4f} | {row.z:+.2f} |")
    return lines


def main() -> None:
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    results = json.loads((ROOT / "reproduction" / "results.json").read_text(encoding="utf-8"))
    table = "\n".join([*reproduction(results), "", *plateau(results), "", *breast_cancer()])
    readme.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
