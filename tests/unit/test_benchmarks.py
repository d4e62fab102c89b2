"""The parts of the benchmarks' report that must not mislead: colors, labels, stored measurements, and tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.harness.process import Sample
from benchmarks.peers.web_load import cookie_of, header
from benchmarks.report import storage, tables
from benchmarks.report.colors import ALL, BACKGROUNDS, LEAST_CONTRAST, contrast
from benchmarks.report.labels import spread
from benchmarks.report.results import Kept, Memory, Results, Row

CHARTS = sorted((Path(__file__).parents[2] / "benchmarks" / "results").glob("*.svg"))


def test_black_on_white_has_the_greatest_contrast():
    assert contrast("#000000", "#ffffff") == contrast("#ffffff", "#000000") == pytest.approx(21)


@pytest.mark.parametrize("color", ALL)
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_colors_are_legible_on_light_and_on_dark_pages(color, background):
    assert contrast(color, background) >= LEAST_CONTRAST


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
def test_charts_have_no_other_colors_and_no_background(chart):
    assert set(re.findall(r"#[0-9a-f]{6}\b", chart.read_text(encoding="utf-8"))) <= set(ALL)


def test_labels_move_apart_and_no_farther():
    assert spread([0, 100], 10) == [0, 100]
    assert spread([50, 50, 100], 10) == [45, 55, 100]
    assert spread([0, 12, 14, 16], 10) == pytest.approx([-4.5, 5.5, 15.5, 25.5])


def test_stored_measurements_come_back(tmp_path):
    sample = Sample(1000, 0.5, 0.25, 0.001, 0.002, 0.003, 0.125)
    row = Row("web", "read", "16 callers, Flask", {"chuk-sessions": [sample], "Flask-Session": [sample]})
    results = Results({"date": "today"}, [row], [Memory("short", 1.0, 2.0)], [Kept("Flask", "Flask-Session", 20, 1, 1)])
    storage.save(results, tmp_path / "web.json")
    assert storage.load(tmp_path / "web.json") == results
    assert storage.load_all(tmp_path, ["web", "redis"]) == {"web": results}


def test_growth_is_the_time_of_the_last_condition_divided_by_that_of_the_first():
    def sample(calls, cpu):
        return Sample(calls, 1.0, cpu, 0, 0, 0)

    row = Row("growth", "read", "", {"10": [sample(100, 1.0)], "20": [sample(80, 1.0)], "30": [sample(50, 1.0)]})
    assert row.growth().median == 2
    assert row.growth("CPU/call").median == 2


def test_tables_replace_only_what_is_between_their_markers():
    page = "before\n<!-- table: web -->\nold\n<!-- end of table -->\nafter\n"
    assert tables.replaced(page, "web", "| new |") == page.replace("old", "| new |")
    with pytest.raises(ValueError, match="markers of the table growth"):
        tables.replaced(page, "growth", "")


def test_tables_say_if_other_jobs_used_the_machine():
    assert [load for load in ("17.2", "0.4", "not noted") if tables.is_busy(load)] == ["17.2"]


def test_the_performance_page_has_a_place_for_each_table():
    page = (Path(__file__).parents[2] / "docs" / "performance.md").read_text(encoding="utf-8")
    assert set(re.findall(r"<!-- table: (\w+) -->", page)) == {*tables.TABLES}


def test_the_load_generator_reads_headers():
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nset-cookie: a=b; Path=/\r\n\r\n{}"
    assert header(response, b"content-length") == b"2"
    assert cookie_of(response) == b"a=b"
    assert header(response, b"vary") == b""
