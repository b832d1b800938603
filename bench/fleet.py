"""The readings that contenders with other protocols are given: as many, of as many devices, as `thalweg bench` writes."""

import statistics

ITEMS, DEVICES, SPAN = 100_000, 100, 360
FIRST_MS = 1_767_225_600_000
METRICS = ["lat", "lon", "alt", "vel", "hdg", "fuel", "rpm", "oil", "t1", "t2"]


def told(latencies_us):
    """Latencies of one connection, one question after the other, as `thalweg bench` tells them."""
    cuts = statistics.quantiles(latencies_us, n=100)
    return {
        "per_second": len(latencies_us) / (sum(latencies_us) / 1e6),
        "latency_us": {"p50": cuts[49], "p99": cuts[98], "max": max(latencies_us)},
    }
