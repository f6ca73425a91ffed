"""A sweep's folder as xarray, pandas, CSV, JSON, LaTeX and a figure; what notebooks show of objects."""

import csv
import html.parser
import io
import json

import numpy as np
import pytest
from small_runs import tables

import fastsgd
from fastsgd.cli.entry import exit_code
from fastsgd.errors import InputError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Six cells over two keys, two of which are broken."""
    folder = tmp_path_factory.mktemp("sweep") / "study"
    with pytest.raises(fastsgd.RunError):
        fastsgd.sweep(tables(), folder, vary={"step.size": [0.1, 0.05, 0.9], "sampling.batch": [1, 4]})
    return folder


def test_xarray_has_the_swept_keys_as_dimensions(swept, tmp_path):
    xarray = pytest.importorskip("xarray")
    sweep = fastsgd.open_sweep(swept)
    data = sweep.to_xarray(replicates=True)
    assert data["risk"].dims == ("step.size", "sampling.batch", "arm", "step")
    assert dict(data.sizes) == {
        "step.size": 3, "sampling.batch": 2, "arm": 1, "step": 4, "coordinate": 3, "coordinate_2": 3, "replicate": 150,
    }  # fmt: skip
    for size, batch in ((0.1, 1), (0.05, 4)):
        run = sweep.run({"step.size": size, "sampling.batch": batch})
        cell = data.sel({"step.size": size, "sampling.batch": batch, "arm": "main"})
        np.testing.assert_array_equal(cell["replicate_risk"], run.risk())
        np.testing.assert_allclose(cell["risk"], run.risk().mean(axis=0), rtol=1e-12)
        np.testing.assert_array_equal(cell["covariance"], run.moments()[2])
        report = fastsgd.ratio(run)
        expected = [row.predicted for row in report.rows if row.quantity == "risk" and row.step is not None]
        np.testing.assert_array_equal(cell["risk_predicted"][-len(expected) :], expected)
    assert np.isnan(data["risk"].sel({"step.size": 0.9})).all()
    data.to_netcdf(tmp_path / "study.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "study.nc", engine="netcdf4") as again:
        np.testing.assert_array_equal(again["risk"], data["risk"])


def test_tables(swept, tmp_path):
    sweep = fastsgd.open_sweep(swept)
    rows = list(csv.DictReader(io.StringIO(sweep.to_csv(tmp_path / "a.csv"))))
    assert (tmp_path / "a.csv").read_text() == sweep.to_csv()
    assert len(rows) == len(sweep.rows())
    assert {(row["step.size"], row["sampling.batch"]) for row in rows} == {
        ("0.1", "1"), ("0.1", "4"), ("0.05", "1"), ("0.05", "4")
    }  # fmt: skip
    document = json.loads(sweep.to_json())
    assert (document["verdict"], document["keys"]) == ("consistent", ["step.size", "sampling.batch"])
    frame = sweep.to_pandas()
    risks = frame[(frame.quantity == "risk") & (frame.step == 40)]
    assert sorted(risks["empirical"]) == sorted(
        float(row["empirical"]) for row in rows if (row["quantity"], row["step"]) == ("risk", "40")
    )
    latex = sweep.to_latex().splitlines()
    assert latex[0] == r"\begin{tabular}{lllrrrrrr}"
    assert latex[2].startswith(r"step.size & sampling.batch & arm & step & risk")
    assert len(latex) == 4 + 4 + 2
    assert all(line.count(" & ") == 8 for line in latex if line.endswith(r" \\"))


def test_wrong_questions_are_told(swept, tmp_path):
    sweep = fastsgd.open_sweep(swept)
    with pytest.raises(InputError, match="2 cells of"):
        sweep.run({"step.size": 0.1})
    with pytest.raises(InputError, match="size is not swept"):
        sweep.run(size=0.1)
    with pytest.raises(InputError, match="is no sweep"):
        fastsgd.open_sweep(tmp_path)
    with pytest.raises(InputError, match="takes the folder of one sweep"):
        fastsgd.plot(swept / "size=0.1,batch=1.h5", tmp_path / "a.png", kind="sweep")


class Balanced(html.parser.HTMLParser):
    """Fails at tags that do not match."""

    def __init__(self):
        super().__init__()
        self.open, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_what_notebooks_show(swept):
    sweep = fastsgd.open_sweep(swept)
    run = sweep.run({"step.size": 0.1, "sampling.batch": 1})
    report = fastsgd.ratio(run)
    spec = fastsgd.load_spec(tables(name="<b>&"))
    for thing, word in ((spec, "<b>&"), (run, "150 of 150"), (report, "consistent"), (sweep, "4 of 6 cells")):
        parser = Balanced()
        parser.feed(thing._repr_html_())
        assert parser.open == []
        assert word in parser.text
        assert len(repr(thing)) < 250
    assert repr(spec) == "Spec('<b>&', quadratic, replicates 150, horizon 40, seed 5)"
    assert repr(report).endswith("consistent)")


def test_the_abscissa_of_the_figure_is_chosen(swept, monkeypatch):
    import fastsgd.figures.sweep as drawing
    from fastsgd.figures import figure

    top, below = figure(swept).axes
    assert below.get_xlabel() == "step.size" and len(top.containers) == 2
    left, right = (bar[0].get_transform().transform((0.1, 1))[0] for bar in below.containers)
    assert left < below.transData.transform((0.1, 1))[0] < right
    assert below.get_ylim()[0] < min(y for bar in below.containers for ((_, y), _) in bar[2][0].get_segments())
    top, below = figure(swept, over="sampling.batch").axes
    assert below.get_xlabel() == "sampling.batch" and len(top.containers) == 2
    for over, words in (("sampling.bach", "not swept; keys are step.size, sampling.batch"), ("step.size", "2 lines")):
        monkeypatch.setattr(drawing, "MOST_LINES", 1)
        with pytest.raises(InputError, match=words):
            figure(swept, over=over)
    top, below = figure(swept).axes  # too many lines: one beside the other
    assert "order" in below.get_xlabel() and list(top.containers[0][0].get_xdata()) == [1, 2, 3, 4]


def test_show_plot_and_export_take_a_folder(swept, tmp_path, capsys):
    assert exit_code(["show", str(swept)]) == 0
    assert "4 finished, 2 failed" in capsys.readouterr().out
    assert exit_code(["show", str(swept), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["failed"] == 2
    assert exit_code(["plot", str(swept), "-o", str(tmp_path / "study.png")]) == 0
    assert (tmp_path / "study.png").stat().st_size > 5000
    assert exit_code(["plot", str(swept), "-o", str(tmp_path / "cells.png"), "--kind", "risk"]) == 0
    assert exit_code(["export", str(swept), "--format", "csv", "-o", str(tmp_path / "study.csv")]) == 0
    assert (tmp_path / "study.csv").read_text() == fastsgd.open_sweep(swept).to_csv()


def test_the_figure_shows_the_numbers(swept):
    from fastsgd.figures import figure

    made = figure(fastsgd.open_sweep(swept))
    top, below = made.axes
    assert below.get_xlabel() == "step.size"
    handles, names = top.get_legend_handles_labels()
    assert names == ["batch = 1", "batch = 4"]
    sweep = fastsgd.open_sweep(swept)
    for batch, handle in zip((1, 4), handles, strict=True):
        shown = handle.lines[0].get_xydata()
        expected = [
            (size, sweep.run({"step.size": size, "sampling.batch": batch}).risk()[:, -1].mean()) for size in (0.05, 0.1)
        ]
        np.testing.assert_allclose(shown, expected, rtol=1e-12)
