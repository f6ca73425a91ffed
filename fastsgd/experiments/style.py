"""The style sheet of the report: light, readable on a phone and on paper."""

CSS = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: #1c1c1c; font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.2rem; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; border-top: 1px solid #ccc; padding-top: 1rem; }
h2 small { color: #595959; font-weight: normal; font-size: .85rem; }
p, figcaption { max-width: 46rem; }
a { color: #00558c; }
code, pre { font: .85rem/1.45 ui-monospace, "DejaVu Sans Mono", monospace; background: #f3f3f3; }
code { padding: .1rem .3rem; overflow-wrap: anywhere; }
pre { padding: .7rem; overflow-x: auto; }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .22rem .6rem; text-align: left; border-bottom: 1px solid #e2e2e2; vertical-align: top; }
th { border-bottom: 2px solid #999; white-space: nowrap; }
.n { text-align: right; white-space: nowrap; }
tr.shown td { color: #6b6b6b; }
tr.failed td { background: #fde4dc; font-weight: 600; }
.good { color: #00663f; font-weight: 600; }
.bad { color: #a32a00; font-weight: 600; }
.verdict::before { content: "verdict: "; font-weight: normal; color: #1c1c1c; }
figure { margin: 1rem 0; max-width: 42rem; }
figure img { max-width: 100%; height: auto; display: block; }
figcaption, small { font-size: .85rem; color: #444; }
details { margin: .6rem 0; }
summary { cursor: pointer; color: #00558c; }
@media (max-width: 40rem) {
  main { padding: .8rem; } table { font-size: .78rem; } th, td { padding: .2rem .4rem; }
  td:not(.n) { min-width: 8.5rem; } td:first-child { min-width: 5.5rem; }
  figure img { max-width: none; width: 38rem; }
}
@media print {
  body { font-size: 10pt; } main { max-width: none; padding: 0; } .scroll { overflow: visible; }
  section, figure, tr { break-inside: avoid; } a { color: inherit; }
}
"""
