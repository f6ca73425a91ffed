"""Labels of logarithmic axes as text."""

import matplotlib.figure

from fastsgd.figures.ticks import plain, plain_ticks


def test_a_power_has_raised_digits():
    assert plain(r"$\mathdefault{2\times10^{-3}}$") == "2\u00d710\u207b\u00b3"
    assert plain(r"$\mathdefault{10^{12}}$") == "10\u00b9\u00b2"
    assert plain("") == ""


def test_a_wide_axis_has_powers_alone_and_a_narrow_one_numbers():
    figure = matplotlib.figure.Figure()
    wide, narrow, straight = figure.subplots(1, 3)
    for axis, ends in ((wide, (1e-6, 1.0)), (narrow, (0.02, 0.07))):
        axis.set_yscale("log")
        axis.set_ylim(*ends)
    before = straight.yaxis.get_major_formatter()
    plain_ticks(figure)
    assert not len(wide.yaxis.get_minorticklocs())
    assert wide.yaxis.get_major_formatter()(1e-4) == "10\u207b\u2074"
    labels = narrow.yaxis.get_minor_formatter().format_ticks(narrow.yaxis.get_minorticklocs())
    assert "0.03" in labels
    assert straight.yaxis.get_major_formatter() is before
