"""Rows of medians, tables with multiples, the line of JSON, and the picture."""

from __future__ import annotations

import json
import math
from xml.etree import ElementTree

import celery
import pytest

from benchmarks.harness import Bench, machine
from benchmarks.support.chart import chart


def _bench() -> Bench:
    bench = Bench("drain", "jobs", "jobs/s", better="higher", bases=("floor", "celery"))
    bench.add("floor", [20_000, 18_000, 25_000], {"CPU": [10, 30, 20]})
    bench.add("celery", [400, 500, 300])
    bench.add("celeriac <fast>", [8000], {"CPU": [math.nan]})
    bench.add("never", [math.inf])
    return bench


def test_a_row_is_the_median_of_its_rounds_with_the_spread() -> None:
    assert _bench().as_dict()["rows"][0] == {
        "system": "floor",
        "median": 20_000,
        "min": 18_000,
        "max": 25_000,
        "CPU": 20,
    }


def test_what_was_not_reached_has_no_figure_and_is_still_json() -> None:
    row = json.loads(json.dumps(_bench().as_dict(), allow_nan=False))["rows"][3]
    assert row == {"system": "never", "median": None, "min": None, "max": None}
    assert _bench().as_dict()["rows"][2]["CPU"] is None


def test_the_table_shows_each_row_as_multiples_of_the_bases() -> None:
    assert _bench().table().splitlines() == [
        "| system | median jobs/s | min | max | of floor | of celery | CPU |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| floor | 20,000 | 18,000 | 25,000 | 1 | 50 | 20 |",
        "| celery | 400 | 300 | 500 | 0.02 | 1 | - |",
        "| celeriac <fast> | 8,000 | 8,000 | 8,000 | 0.4 | 20 | - |",
        "| never | - | - | - | - | - | - |",
    ]


def test_rows_of_one_kind_are_compared_with_the_base_of_that_kind() -> None:
    bench = Bench("enqueue", "jobs", "jobs/s")
    for system, figure in (("one: floor", 100), ("one: celery", 10), ("bulk: floor", 1000), ("bulk: celery", 500)):
        bench.add(system, [figure])
    assert [line.split(" | ")[4].rstrip(" |") for line in bench.table().splitlines()] == [
        "of floor",
        "---:",
        "1",
        "0.1",
        "1",
        "0.5",
    ]


def test_a_base_that_was_left_out_is_no_column() -> None:
    bench = Bench("drain", "jobs", "jobs/s", bases=("floor", "celery"))
    bench.add("celery", [1])
    assert bench.table().startswith("| system | median jobs/s | min | max | of celery |\n")


def test_the_chart_has_a_bar_for_each_figure_best_first() -> None:
    picture = ElementTree.fromstring(chart([_bench()]))
    texts = picture.iter("{http://www.w3.org/2000/svg}text")
    names = [text.text for text in texts if text.get("class") == "name"]
    bars = [bar for bar in picture.iter("{http://www.w3.org/2000/svg}rect") if bar.get("x")]
    assert names == ["floor", "celeriac <fast>", "celery"]
    widths = [float(bar.get("width", 0)) for bar in bars]
    assert widths == sorted(widths, reverse=True)
    assert widths[1] / widths[0] == pytest.approx(8000 / 20_000, abs=0.001)
    assert max(widths) + float(bars[0].get("x", 0)) < float(picture.get("width", 0))


def test_the_machine_is_one_line_with_versions() -> None:
    assert f"celery {celery.__version__}" in machine()
    assert "\n" not in machine()
