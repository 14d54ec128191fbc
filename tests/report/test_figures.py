"""Figures by their data: lines, bars, violins and maps hold the numbers they stand for."""

import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from sprint_lmeval.errors import InputError
from sprint_lmeval.report import head_figures
from sprint_lmeval.report.curves import MAX_CURVES, curves_figure
from sprint_lmeval.report.figure_style import COLOURS, LINES, MARKERS, file_name, line_style, save_figure
from sprint_lmeval.report.head_figures import bars_figure, layer_gains, maps_figure, violins_figure
from sprint_lmeval.report.heads import best_head_gains, head_table, heads_csv, heads_markdown, table_name
from sprint_lmeval.report.leaderboard import leaderboard
from sprint_lmeval.report.page.write import STATIC
from sprint_lmeval.runs.comparable import comparable_groups
from sprint_lmeval.runs.run import read_runs
from tests.shared.gate_examples import write_run
from tests.shared.matrix_examples import SOLVED, matrix


def rows_of(folder):
    return leaderboard(comparable_groups(read_runs([folder]).runs))


def table():
    return head_table(matrix(SOLVED), "m, t")


# ---- Figure 4 ----


def test_curves_are_pass_at_n_over_n_and_over_tokens(tmp_path):
    write_run(tmp_path / "a", ["icii", "iiic", "iiii", "cccc"], sprint={"strategy": "spread"})
    write_run(tmp_path / "b", ["iiii", "iiii", "iiii", "cccc"], sprint={"strategy": "base"})
    figure, left_out = curves_figure(rows_of(tmp_path))
    over_n, over_tokens = figure.axes
    lines = {line.get_label(): line for line in over_n.lines}
    assert lines["spread"].get_xdata().tolist() == [1, 2, 3, 4]
    assert lines["spread"].get_ydata().tolist() == [25, 50, 50, 75]
    assert lines["base"].get_ydata().tolist() == [25] * 4
    spent = {line.get_label(): line.get_xdata() for line in over_tokens.lines if line.get_marker() != "None"}
    assert spent["spread"].tolist() == [9, 18, 27, 36] and spent["base"].tolist() == [9]
    assert len(over_n.collections) == 2  # a band each
    low, high = (pick(over_n.collections[0].get_paths()[0].vertices[:, 1]) for pick in (np.min, np.max))
    assert 0 <= low < 25 and 75 < high <= 100
    assert left_out == []


def test_a_run_without_samples_has_a_line_and_no_band(tmp_path):
    next(write_run(tmp_path, ["icii", "iiic"]).glob("samples_*")).unlink()
    figure, _ = curves_figure(rows_of(tmp_path))
    assert figure.axes[0].lines[0].get_ydata().tolist() == [0, 50, 50, 100]
    assert not figure.axes[0].collections and "not known" in figure.axes[1].texts[0].get_text()


def test_what_has_no_room_is_told_and_the_unpruned_model_stays(tmp_path):
    for number in range(MAX_CURVES + 2):
        write_run(tmp_path / str(number), ["ci", "ii"], sprint={"strategy": "random", "strategy_seed": number})
    write_run(tmp_path / "base", ["ii", "ii"], sprint={"strategy": "base"})
    figure, left_out = curves_figure(rows_of(tmp_path))
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert len(labels) == MAX_CURVES and "base" in labels
    assert left_out == [f"3 of {MAX_CURVES + 3} runs of tiny are not drawn"]


def test_curves_are_told_apart_without_colour():
    styles = [(line_style(number)["linestyle"], line_style(number)["marker"]) for number in range(32)]
    assert len(set(styles)) == 32  # more curves than a figure has: no two look the same in grey
    colours = [line_style(number)["color"] for number in range(10)]
    assert len(set(colours)) == 10


def test_few_points_are_no_density():
    few, many = ([k / 100 for k in range(count)] for count in (11, 12))
    for values, bodies in ((few, 0), (many, 1)):
        assert len(violins_figure("x", "gains", {"all": values}).axes[0].collections) == bodies + 1  # and the median


def test_a_strategy_looks_the_same_for_every_model(tmp_path):
    for model, verdicts in (("a", ["ci", "ii"]), ("b", ["ii", "ii"])):
        arguments = {"pretrained": model}
        write_run(tmp_path / model / "1", verdicts, sprint={"strategy": "spread"}, model_args=arguments)
        write_run(tmp_path / model / "2", ["ic", "ii"], sprint={"strategy": "random"}, model_args=arguments)
    figure, _ = curves_figure(rows_of(tmp_path))
    looks = [{x.get_label(): (x.get_color(), x.get_marker()) for x in axes.lines} for axes in figure.axes[::2]]
    assert looks[0] == looks[1] and len(looks[0]) == 2
    assert [looks[0][row["strategy"]][0] for row in rows_of(tmp_path)] == [
        COLOURS[row["look"]] for row in rows_of(tmp_path)
    ]


def test_the_page_has_the_colours_and_markers_of_the_figures():
    style, script = ((STATIC / name).read_text() for name in ("page.css", "curves.js"))
    assert re.findall(r"--series-\d: (#[0-9a-f]{6})", style)[: len(COLOURS)] == list(COLOURS)
    names = re.findall(r'"([\w-]+)"', re.search(r"SYMBOLS = \[(.*?)\]", script)[1])
    matplotlib_names = dict(
        zip("os^vDX*P", "circle square triangle-up triangle-down diamond x star cross".split(), strict=True)
    )
    assert names == [matplotlib_names[sign] for sign in MARKERS]
    dashes = re.findall(r'"(\w+)"', re.search(r"DASHES = \[(.*?)\]", script)[1])
    assert dashes == [{"-": "solid", "--": "dash", "-.": "dashdot", ":": "dot"}[line] for line in LINES]


# ---- Tables 1-4, Figures 2 and 5 ----


def test_heads_are_counted_by_layer_head_and_subject():
    made = table()
    assert (made.subjects, made.counts) == (("all", "sums", "算术"), (4, 2, 2))
    assert (made.layers, made.heads) == ((0, 2), (0, 1))
    assert made.rates[0].tolist() == [[0.5, 0.5], [0.25, 0.5]]
    assert made.rates[1].tolist() == [[0.5, 0.0], [0.5, 1.0]]
    assert made.base.tolist() == [0.5, 0.5, 0.5]
    assert made.gains[2].tolist() == [[0.0, 0.5], [-0.5, -0.5]]


def test_the_best_head_of_each_layer():
    assert best_head_gains(table()) == {"all": [0.0, 0.0], "sums": [0.0, 0.5], "算术": [0.5, -0.5]}
    assert layer_gains([table()]) == {"m, t": [0.0, 0.5, 0.5, -0.5]}  # all pairs of subject and layer


def test_bars_stand_on_the_line_of_the_unpruned_model():
    figure = bars_figure(table())
    (axes,) = figure.axes
    bars = sorted((bar for group in axes.containers for bar in group), key=lambda bar: bar.get_x())
    assert [(bar.get_y(), bar.get_height()) for bar in bars] == [(50, 0), (50, 0), (50, -25), (50, 0)]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["H0", "H1", "H0", "H1"]
    line = next(line for line in axes.lines if line.get_label() == "unpruned: 50.0 %")
    assert set(line.get_ydata()) == {50}
    low, high = axes.get_ylim()
    drawn = [y for lines in axes.collections for path in lines.get_paths() for _, y in path.vertices]
    assert low + 0.06 * (high - low) < min(drawn)  # the names of the layers cover no interval


def test_violins_show_every_point_and_need_no_spread():
    figure = violins_figure("x", "gains", {"all": [0.1, -0.2, 0.0, 0.3], "same": [0.1, 0.1, 0.1], "one": [0.2]})
    (axes,) = figure.axes
    points = [line.get_ydata().tolist() for line in axes.lines if line.get_marker() == "o"]
    assert points[0] == pytest.approx([10, -20, 0, 30]) and points[2] == pytest.approx([20])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["all\n(4)", "same\n(3)", "one\n(1)"]


def test_maps_have_the_gains_as_numbers_and_are_white_at_zero():
    figure = maps_figure(table())
    panels = [axes for axes in figure.axes if axes.images]
    assert len(panels) == 3
    assert panels[2].images[0].get_array().tolist() == [[0, 50], [-50, -50]]
    cells = {text.get_position(): text.get_text() for text in panels[2].texts}
    assert cells == {(0, 0): "+0", (1, 0): "+50", (0, 1): "-50", (1, 1): "-50"}
    for panel in panels:
        low, high = panel.images[0].get_clim()
        assert low == -high and panel.images[0].get_cmap()(0.5)[:3] == pytest.approx((1, 1, 1), abs=0.01)


def test_a_few_ruinous_heads_do_not_take_the_scale():
    names = ("base", *(f"L0H{head}" for head in range(40)))
    letters = [
        "c" * 40 + "i" if row % 2 else "c" + "i" * (row == 0) + "c" * (39 - (row == 0)) + "i" for row in range(8)
    ]
    figure = maps_figure(head_table(matrix(letters, names, ("one",) * 8), "m"))
    panel = next(axes for axes in figure.axes if axes.images)
    assert panel.images[0].get_clim()[1] < 15 and panel.images[0].get_array().min() == -100


def test_a_map_of_very_many_cells_marks_instead_of_counting(monkeypatch):
    monkeypatch.setattr(head_figures, "MAX_NUMBERS", 3)
    figure = maps_figure(table())
    panels = [axes for axes in figure.axes if axes.images]
    assert [text.get_position() for text in panels[2].texts if text.get_text() == "+"] == [(1, 0)]
    assert figure.get_suptitle().endswith("+ above the unpruned model")


def one_violin(made):
    return violins_figure(made.name, "best head of a layer by subject", {"all": [0.1]})


@pytest.mark.parametrize("draw", [bars_figure, maps_figure, one_violin])
def test_a_long_title_is_whole(draw):
    columns, subjects = ("base", "L0H0", "L0H1", "L2H0", "L2H1"), ("one",) * 4
    figure = draw(head_table(matrix(SOLVED, columns, subjects), "some-model-of-a-long-name, gsm8k_passn_fewshot, test"))
    FigureCanvasAgg(figure).draw()
    titles = [text for text in figure.findobj(Text) if "long-name" in text.get_text()]
    assert len(titles) == 1 and "…" not in titles[0].get_text()
    box = titles[0].get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1


def test_heads_that_were_not_run_are_left_empty():
    made = head_table(matrix(["cc-ic", "ii-cc", "ci-ii", "ic-ii"]), "m")
    assert np.isnan(made.rates[:, 0, 1]).all() and "-" in heads_markdown(made)
    assert sum(len(group) for group in bars_figure(made).axes[0].containers) == 3
    maps_figure(made)


def test_without_the_unpruned_model_there_are_rates_and_no_gains():
    made = head_table(matrix([letters[1:] for letters in SOLVED], ("L0H0", "L0H1", "L2H0", "L2H1")), "m")
    assert np.isnan(made.base).all() and best_head_gains(made) == {}
    heights = [bar.get_height() for group in bars_figure(made).axes[0].containers for bar in group]
    assert sorted(heights) == [25, 50, 50, 50]
    assert [axes.get_legend() for axes in bars_figure(made).axes] == [None]  # nothing is above or not above
    assert "--" not in [line.get_linestyle() for line in bars_figure(made).axes[0].lines]
    maps_figure(made)


def test_a_gain_is_of_questions_that_both_answered():
    made = head_table(matrix(["ci", "cc", "i-", "i-"], ("base", "L0H0")), "m")
    assert (made.rates[0].item(), made.base[0]) == (0.5, 0.5)  # of 2 and of 4 questions
    assert made.gains[0].item() == -0.5 and made.intervals[0, 0].tolist() == [-1, 0]
    (bar,) = (bar for group in bars_figure(made).axes[0].containers for bar in group)
    assert (bar.get_y(), bar.get_height()) == (50, -50)
    assert "**" not in heads_markdown(made)


def test_a_matrix_without_single_heads_is_refused():
    with pytest.raises(InputError, match="m has no candidate that is one single head"):
        head_table(matrix(["cc", "ii", "ci", "ic"], ("base", "L0H0+L1H1")), "m")


def test_a_table_that_no_page_holds_is_refused():
    names = [f"L{number}H{number}" for number in range(200)]
    with pytest.raises(InputError, match="200 layers and 200 numbers"):
        head_table(matrix(["c" * 200] * 4, names), "m")


def test_tables_as_text():
    text = heads_markdown(table()).splitlines()
    assert text[0].startswith("| pruned head | all (4), L0 | all (4), L2 | sums (2), L0 |")
    assert text[2] == "| H0 | 50.0 | 25.0 | 50.0 | 50.0 | 50.0 | 0.0 |"
    assert text[3].count("**") == 4 and text[-1] == "| none | 50.0 | 50.0 | 50.0 | 50.0 | 50.0 | 50.0 |"
    lines = heads_csv([table()]).splitlines()
    assert lines[1] == '"m, t",all,4,0,0,0.5,0.5,0' and len(lines) == 1 + 3 * 4
    assert table_name(matrix(SOLVED)) == "m, t_passn, test"


# ---- files ----


def test_figures_are_the_same_bytes_every_time(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for kind, figure in (("bars", bars_figure(table())), ("maps", maps_figure(table()))):
            save_figure(figure, tmp_path / folder / kind)
    for name in ("bars.png", "bars.svg", "maps.png", "maps.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_names_of_any_kind_are_text_in_a_figure(tmp_path, recwarn):
    """Dollars start no mathematics, markup is text, and a script that the font lacks warns nobody."""
    label = "модель 模型 $\\frac$ <script>alert(1)</script> & \x1b[31m"
    figure = violins_figure(label, "gains", {label: [0.1, 0.2, 0.3]})
    svg = save_figure(figure, tmp_path / "x")[1].read_text()
    assert "модель 模型 $\\frac$ &lt;script&gt;" in svg and "<script" not in svg and "\x1b" not in svg
    assert not [w for w in recwarn if "Glyph" in str(w.message)]


def test_file_names_are_plain():
    assert file_name("bars", "1", "org/model, x_passn") == "bars-1-org-model-x_passn"
    assert file_name("bars", "2", "模型") == "bars-2"
    assert "/" not in file_name("..", "../../etc")
