"""Reads interval logs with the Python package hdrhistogram and prints what it finds as JSON."""

import json
import sys

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9, "p99.99": 99.99}
MILLIONTHS = {"p50": 500000, "p90": 900000, "p99": 990000, "p99.9": 999000, "p99.99": 999900}


def empty():
    return HdrHistogram(1, 60_000_000, 3)


def ranked(histogram):
    """The value that the rank, rounded up, falls on: counted here, not by the package."""
    found = {}
    below = 0
    for item in histogram.get_recorded_iterator():
        below += item.count_at_value_iterated_to
        for name, part in MILLIONTHS.items():
            if name not in found and below * 1_000_000 >= histogram.get_total_count() * part:
                found[name] = histogram.get_highest_equivalent_value(item.value_iterated_to)
    found["max"] = histogram.get_max_value()
    return found


def cumulative(histogram):
    """How many values there are up to each that was recorded."""
    counts, below = {}, 0
    for item in histogram.get_recorded_iterator():
        below += item.count_at_value_iterated_to
        counts[histogram.get_highest_equivalent_value(item.value_iterated_to)] = below
    return counts


def figures(histogram):
    own = {name: histogram.get_value_at_percentile(at) for name, at in PERCENTILES.items()}
    own["max"] = histogram.get_max_value()
    return {
        "count": histogram.get_total_count(),
        "mean": histogram.get_mean_value(),
        "own": own,
        "ranked": ranked(histogram),
        "cumulative": cumulative(histogram),
    }


def columns(path):
    with open(path, encoding="utf-8") as log:
        return [float(line.split(",")[3]) for line in log if line.startswith("Tag=")]


def main(paths):
    merged, lines = {}, []
    for number, path in enumerate(paths):
        reader = HistogramLogReader(path, empty())
        for column in columns(path):
            histogram = reader.get_next_interval_histogram()
            tag = histogram.get_tag()
            merged.setdefault(tag, empty()).add(histogram)
            lines.append({
                "file": number,
                "tag": tag,
                "from_ms": histogram.get_start_time_stamp(),
                "to_ms": histogram.get_end_time_stamp(),
                "max": histogram.get_max_value(),
                "column": column,
            })
        assert reader.get_next_interval_histogram() is None
    result = {"lines": lines, "merged": {tag: figures(it) for tag, it in merged.items()}}
    json.dump(result, sys.stdout)


main(sys.argv[1:])
