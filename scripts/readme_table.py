"""The table of results between the markers of README.md, from the stored runs."""

from pathlib import Path

import fastsgd

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- results:begin (scripts/readme writes this) -->", "<!-- results:end -->"
PAPER = {
    "anisotropic": {300: 0.991, 800: 1.002, 2000: 0.995, 5000: 1.010, 10000: 1.000},
    "isotropic": {300: 1.002, 800: 0.990, 2000: 0.992, 5000: 1.001, 10000: 0.987},
}


def plateau() -> list[str]:
    """Rows of Experiment 3 beside the published ratios."""
    report = fastsgd.ratio(ROOT / "runs" / "plateau.h5")
    lines = [
        f"`runs/plateau.toml`, Table 3 of the paper: risk at the plateau, 2000 replicates, verdict **{report.verdict}**.",
        "",
        "| noise | step | measured | standard error | predicted | ratio | z | published ratio |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in report.rows:
        if row.quantity == "risk":
            error = f"{row.standard_error:.5f}"
            lines.append(
                f"| {row.arm} | {row.step} | {row.empirical:.5f} | {error} | {row.predicted:.5f} | {row.ratio:.4f} | "
                f"{row.z:+.2f} | {PAPER[row.arm][row.step]:.3f} |"
            )
    return lines


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
    table = "\n".join([*plateau(), "", *breast_cancer()])
    readme.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
