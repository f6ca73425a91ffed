"""report.html: one file without network; a summary first, a section an experiment, provenance at the end."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Any

from fastsgd.analysis import tables
from fastsgd.experiments.style import CSS
from fastsgd.experiments.text import power_text, whole_false_alarm

SHOWN = 14  # rows shown unfolded in one experiment


def write_report(content: dict[str, Any], folder: Path) -> Path:
    """Write the report of a reproduction into its folder; unchanged results leave the file as it is."""
    from fastsgd.experiments.runner import write_if_new

    path = folder / "report.html"
    write_if_new(path, page(content, folder))
    return path


def page(content: dict[str, Any], folder: Path) -> str:
    """The whole document; pictures are read from `folder` and put in."""
    title = f"fastsgd reproduction, scale {content['scale']}"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(title)}</title><style>{CSS}</style></head><body><main>",
        _head(content),
        _summary(content),
        *(_section(result, folder, content) for result in content["entries"]),
        _provenance(content),
        "</main></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _head(content: dict[str, Any]) -> str:
    z, seed = content["z"], content["seed"]
    seeds = "the seeds of the specs" if seed is None else f"seed {seed}"
    lines = [
        "<h1>Mini-batch covariance, diffusion limits and oracle complexity: reproduction</h1>",
        f"<p>Every experiment and theorem check at scale <b>{_text(content['scale'])}</b>, {_text(seeds)}: "
        f"{content['runs']} runs, {content['replicate_steps']:.3g} replicate-steps. Predictions are exact for the quantity "
        "measured (finite step, finite horizon, finite pool); the leading order stands beside them. A verdict is one "
        f"two-sided test of all rows of an experiment, false alarm {content['false_alarm']:g} together (Sidak), "
        f"{whole_false_alarm(content):.2g} for the {len(content['entries'])} experiments. Each "
        "experiment has negative controls, altered predictions that its runs must reject.</p>",
        f'<p class="verdict {_class(content["verdict"])}">{_text(content["verdict"])}</p>',
    ]
    if z["kolmogorov_smirnov_p"] is not None:
        lines.append(
            f"<p>z over {z['rows']} tested rows against the standard normal: Kolmogorov-Smirnov "
            f"p = {z['kolmogorov_smirnov_p']:.3g}, as if all were independent (rows of an experiment share draws).</p>"
        )
    if content["failed"]:
        lines.append("<ul>" + "".join(f"<li>{_text(line)}</li>" for line in content["failed"]) + "</ul>")
    return "\n".join(lines)


def _summary(content: dict[str, Any]) -> str:
    header = ("experiment", "verdict", "paper", "tests", "largest |z|", "limit", "controls rejected", "least power")
    rows = []
    for result in content["entries"]:
        sizes = [abs(row["z"]) for row in result["rows"] if row["tested"] and row["z"] is not None]
        rejected = f"{sum(c['rejected'] for c in result['controls'])} of {len(result['controls'])}"
        least = power_text(min((c["power"] for c in result["controls"]), default=0.0))
        name = f'<a href="#{_text(result["name"])}">{_text(result["name"])}</a>'
        verdict = f'<span class="{_class(result["verdict"])}">{_text(result["verdict"])}</span>'
        cells = (
            name, verdict, _text(result["paper"]), result["tests"], tables.fixed(max(sizes, default=None), 2),
            tables.fixed(result["threshold"], 2), rejected, _text(least),
        )  # fmt: skip
        rows.append("".join(_cell(cell, place > 2) for place, cell in enumerate(cells)))
    return "<h2>Summary</h2>" + _table(header, rows, range(3, 8))


def _section(result: dict[str, Any], folder: Path, content: dict[str, Any]) -> str:
    parts = [
        f'<section id="{_text(result["name"])}"><h2>{_text(result["title"])} <small>{_text(result["paper"])}</small></h2>',
        f"<p><b>Claim.</b> {_text(result['claim'])}</p>",
        f"<p><b>Run.</b> {_text(result['ran'])} {_text(_runs(result['runs']))}</p>",
        f'<p class="verdict {_class(result["verdict"])}">{_text(result["verdict"])}</p>',
        f"<p>{result['tests']} tests, |z| &lt;= {result['threshold']:.2f} each.</p>",
        *(_figure(figure, folder) for figure in result["figures"]),
        _rows(result["rows"]),
        *(f"<p>{_text(note)}</p>" for note in result["notes"]),
    ]
    if result["published"] is not None:
        parts.append(f"<p><b>Published.</b> {_text(result['published']['text'])}</p>")
    parts.append(_controls(result["controls"]))
    seed = "" if content["seed"] is None else f" --seed {content['seed']}"
    parts.append(f"<p>Run it again: <code>{_text(result['command'] + seed)}</code></p></section>")
    return "\n".join(parts)


def _runs(runs: list[dict[str, Any]]) -> str:
    specs = list(dict.fromkeys(run["spec"] for run in runs))
    counts = sorted({run["replicates"] for run in runs})
    replicates = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    files = ", ".join(f"runs/{spec}.toml" for spec in specs)
    noun = "run" if len(runs) == 1 else "runs"
    steps = sum(run["replicate_steps"] for run in runs)
    own = f"d = {_range({run['dimension'] for run in runs})}; b = {_range({b for run in runs for b in run['batches']})}"
    sizes = _range({size for run in runs for size in run["step_sizes"]})
    return f"({files}: {len(runs)} {noun}, {replicates} replicates, {steps:.3g} replicate-steps; {own}; step size {sizes}.)"


def _range(values: set[Any]) -> str:
    """Up to four numbers, or the ends of more."""
    found = [f"{value:g}" for value in sorted(values)]
    return ", ".join(found) if len(found) <= 4 else f"{found[0]} to {found[-1]}"


def _figure(figure: dict[str, Any], folder: Path) -> str:
    data = base64.b64encode((folder / figure["png"]).read_bytes()).decode()
    caption = _text(figure["caption"])
    return (
        f'<figure><div class="scroll"><img alt="{caption}" src="data:image/png;base64,{data}"></div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _rows(rows: list[dict[str, Any]]) -> str:
    header = ["quantity", "where", "empirical", "std. error", "predicted", "leading order", "ratio", "z"]
    published = any(row["published"] is not None for row in rows)
    header += ["published"] if published else []
    number, fixed = tables.number, tables.fixed
    body = []
    for row in rows:
        cells = [
            _text(row["quantity"]), _text(row["where"]), number(row["empirical"]), number(row["standard_error"], 2),
            number(row["predicted"]), number(row["leading_order"]), fixed(row["ratio"], 4), fixed(row["z"], 2),
        ]  # fmt: skip
        cells += [number(row["published"], 4)] if published else []
        kind = "failed" if row["failed"] else "" if row["tested"] else "shown"
        body.append((kind, "".join(_cell(cell, place > 1) for place, cell in enumerate(cells))))
    numeric = range(2, len(header))
    lines = [f'<tr class="{kind}">{cells}</tr>' if kind else f"<tr>{cells}</tr>" for kind, cells in body]
    first = _table(header, lines[:SHOWN], numeric, whole=True)
    note = "<p><small>Rows in grey are shown and not tested.</small></p>" if any(k == "shown" for k, _ in body) else ""
    if len(lines) <= SHOWN:
        return first + note
    whole = _table(header, lines, numeric, whole=True)
    return f"{first}{note}<details><summary>all {len(lines)} rows</summary>{whole}</details>"


def _controls(controls: list[dict[str, Any]]) -> str:
    header = ("negative control", "what is altered", "outcome", "power", "largest z", "most telling row")
    rows = []
    for control in controls:
        outcome = "rejected" if control["rejected"] else "not rejected"
        kind = "good" if control["rejected"] else "bad"
        cells = (
            _text(control["name"]), _text(control["text"]), f'<span class="{kind}">{outcome}</span>',
            _text(power_text(control["power"])), tables.fixed(control["z"], 1), _text(control["row"] or "-"),
        )  # fmt: skip
        rows.append("".join(_cell(cell, place in (3, 4)) for place, cell in enumerate(cells)))
    return _table(header, rows, (3, 4))


def _provenance(content: dict[str, Any]) -> str:
    from fastsgd.kernels import STREAM_VERSION

    lines = [
        f"<tr>{_cell(_text(run['file']))}{_cell(_text(run['identity'][:16]))}{_cell(run['seed'], True)}"
        f"{_cell(run['replicates'], True)}{_cell(run['steps'], True)}</tr>"
        for run in {r["file"]: r for result in content["entries"] for r in result["runs"]}.values()
    ]
    table = _table(("file", "identity", "seed", "replicates", "steps"), lines, (2, 3, 4), whole=True)
    document = _text(tables.json_text({**content["provenance"], "stream_version": str(STREAM_VERSION)}))
    return (
        f"<h2>Provenance</h2><details><summary>{content['runs']} runs with identities and seeds</summary>{table}</details>"
        f"<details><summary>software and machine</summary><pre>{document}</pre></details>"
    )


def _table(header: Any, rows: list[str], numeric: Any, whole: bool = False) -> str:
    head = "".join(
        f'<th class="n">{_text(h)}</th>' if i in numeric else f"<th>{_text(h)}</th>" for i, h in enumerate(header)
    )
    body = "".join(rows) if whole else "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: Any, numeric: bool = False) -> str:
    return f'<td class="n">{value}</td>' if numeric else f"<td>{value}</td>"


def _class(verdict: str) -> str:
    return "good" if verdict == "consistent" else "bad"


def _text(value: Any) -> str:
    return html.escape(str(value))
