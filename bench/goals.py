"""The goals: figures of one run against each other, or against a limit for a machine of two cores."""

from questions import LOG_BYTES, PUT_SYNC_BYTES

# Below this median, a raw write and sync leaves the server room to be the limit; above, the disk is.
FAST_SYNC_US = 400


def goals(figures):
    """Each goal that was measured: number, what, the figure, the least or the most it may be, and whether it is reached."""
    told = [goal for row in [log, put, processor, get, batch, mqtt, series, late, memory, recovery, keys, written, indexes, streams] for goal in row(figures)]
    return [goal for goal in told if goal["figure"] is not None]


def at_least(number, what, figure, bound, unit=""):
    return goal(number, what, figure, f"at least {bound:g}{unit}", unit, figure is not None and figure >= bound)


def at_most(number, what, figure, bound, unit=""):
    return goal(number, what, figure, f"at most {bound:g}{unit}", unit, figure is not None and figure <= bound)


def goal(number, what, figure, wanted, unit, reached):
    return {"number": number, "what": what, "figure": figure, "goal": wanted, "unit": unit, "reached": reached}


def ratio(one, other):
    return None if one is None or not other else one / other


def log(figures):
    for size in LOG_BYTES:
        best = figures.best_raw_mb(size)
        share = ratio(figures.disk(size, "thalweg_log", "mb_per_second"), best)
        yield at_least(1, f"log append of {size // 150} events, against the best raw write and sync", share, 0.8, "x")


def put(figures):
    sync_us = figures.best_raw_p50_us(PUT_SYNC_BYTES)
    ours = figures.of("put", "thalweg", "per_second")
    if sync_us is not None and sync_us > FAST_SYNC_US:
        ceiling = 32 / (sync_us / 1e6)
        what = f"PutItem at 32 connections, against 32 in each raw sync of {sync_us:.0f} us"
        yield at_least(2, what, ratio(ours, ceiling), 0.8, "x")
        return
    for peer, bound in [("dynoxide", 20), ("dynalite", 4)]:
        theirs = figures.of("put", peer, "per_second")
        yield at_least(2, f"PutItem at 32 connections, against {peer}", ratio(ours, theirs), bound, "x")


def processor(figures):
    limits = [("put", "a PutItem", 40), ("get", "a GetItem (hot)", 25), ("batch", "an item of BatchWriteItem", 8)]
    for question, what, bound in limits:
        figure = figures.of(question, "thalweg", "server", "cpu_us_per_operation")
        yield at_most(3, f"server processor time of {what}", figure, bound, " us")


def get(figures):
    def compare(question, *path):
        return ratio(figures.of(question, "thalweg", *path), figures.of(question, "dynoxide", *path))

    yield at_most(4, "GetItem p50 at 1 connection, against dynoxide", compare("get1", "latency_us", "p50"), 0.75, "x")
    yield at_least(4, "GetItem a second at 32 connections, against dynoxide", compare("get", "per_second"), 1.5, "x")


def batch(figures):
    ours = figures.of("batch", "thalweg", "per_second")
    theirs = figures.of("batch", "dynoxide-memory", "per_second")
    yield at_least(5, "BatchWriteItem items a second, against dynoxide in memory", ratio(ours, theirs), 8, "x")


def mqtt(figures):
    ours = figures.of("mqtt", "thalweg", "per_second")
    theirs = figures.of("mqtt", "mosquitto", "per_second")
    yield at_least(6, "MQTT QoS 1 acknowledged a second, against mosquitto to one subscriber", ratio(ours, theirs), 2, "x")
    cost = figures.of("mqtt", "thalweg", "server", "cpu_us_per_operation")
    yield at_most(6, "server processor time of an MQTT QoS 1 reading", cost, 12, " us")


def series(figures):
    def compare(question, peer):
        ours, theirs = (figures.of(question, who, "latency_us", "p50") for who in ["thalweg", peer])
        return ratio(ours, theirs)

    yield at_most(7, "last reading of a device, p50 against influxdb", compare("last", "influxdb"), 0.2, "x")
    yield at_most(7, "last reading of a device, p50 against postgresql", compare("last", "postgresql"), 1.5, "x")
    yield at_most(7, "one hour of a device, hot, p50 against influxdb", compare("span", "influxdb"), 0.5, "x")


def memory(figures):
    most = figures.of("memory", "thalweg-1gib", "server", "resident_bytes_max")
    yield at_most(9, "most memory resident with 10 M readings of 1 M devices", most and most / 2**20, 1024, " MiB")


def late(figures):
    for number, question, against, bound, what in [
        (8, "late", "intime", 0.7, "readings, 20 % of them an hour late over cold data, against in order"),
        (8, "shuffled", "import", 0.3, "import of a year at random into cold data, against in order"),
    ]:
        ours, theirs = (figures.of(name, "thalweg", "per_second") for name in [question, against])
        yield at_least(number, what, ratio(ours, theirs), bound, "x")


def recovery(figures):
    def compare(one, other):
        return ratio(figures.of("recovery", "thalweg", one), figures.of("recovery", "thalweg", other))

    read = compare("tail_mb_per_second", "raw_mb_per_second")
    yield at_least(10, "recovery, bytes of log a second against reading past the system's memory", read, 0.2, "x")
    inserted = compare("per_second", "memtable_per_second")
    yield at_least(10, "recovery, items a second against inserting into a memtable", inserted, 0.7, "x")


def keys(figures):
    ours, theirs = (figures.of("keys", who, "per_second") for who in ["thalweg-small", "dynalite"])
    yield at_least(11, "conditional updates and gets at 10 times the memory, against dynalite", ratio(ours, theirs), 0.5, "x")


def written(figures):
    device, log, parquet = (figures.of("written", "thalweg", name) for name in ["device_bytes", "log_bytes", "parquet_bytes"])
    beside = None if device is None else device - parquet
    yield at_most(12, "bytes written to the device, but for Parquet, against bytes of log", ratio(beside, log), 1.3, "x")


def indexes(figures):
    figure = figures.of("fill", "thalweg", "per_second")
    yield at_least(13, "items a second while an index is filled", figure, 200_000)


def streams(figures):
    cost = ratio(*(figures.of(name, "thalweg", "server", "cpu_us_per_operation") for name in ["streamed", "plain"]))
    yield at_most(14, "server processor time of an item written with a stream, against without", cost, 1.1, "x")
    ours, theirs = (figures.of("changes", who, "per_second") for who in ["thalweg", "jetstream"])
    yield at_least(15, "records of GetRecords a second, against messages that JetStream is fetched from", ratio(ours, theirs), 1, "x")
