"""Real series come back as they went in, through every entrance, value for value, each change told once."""

from decimal import Decimal

import pytest
from entrances import ENTRANCES, device
from harness import NAB, SERIES, plain, series, wait_for


def rows(name):
    """(milliseconds, timestamp as written, value as written) of a series, in the file's order."""
    import csv

    with open(NAB / f"{name}.csv", newline="") as file:
        for (milliseconds, value), row in zip(series(name), csv.DictReader(file), strict=True):
            yield milliseconds, row["timestamp"], value


def expected(name):
    """What the rules make of a series: the items by time, and the values told on the stream, by time."""
    items, told = {}, {}
    for milliseconds, timestamp, value in rows(name):
        item = {"ts": Decimal(milliseconds), "timestamp": timestamp, "value": Decimal(value)}
        if items.get(milliseconds) != item:
            told.setdefault(milliseconds, []).append(Decimal(value))
        items[milliseconds] = item
    return items, told


def check_items(server, table, name, device_id):
    items, _ = expected(name)
    found = server.query(table, device_id)
    assert [int(item["ts"]) for item in found] == sorted(items)
    for item in found:
        assert item == {"device_id": device_id} | items[int(item["ts"])]


def check_stream(server, table, names, united=False):
    """Every change once, in order, with the item before and after. An import unites the rows of one time."""
    told, before = {}, {}
    for record in server.changes(table):
        change = record["dynamodb"]
        new = plain(change["NewImage"])
        if "value" not in new:  # a probe for the source's subscription
            continue
        key = (new["device_id"], int(new["ts"]))
        assert record["eventName"] == ("MODIFY" if key in before else "INSERT")
        assert (plain(change["OldImage"]) if key in before else None) == before.get(key)
        before[key] = new
        told.setdefault(new["device_id"], {}).setdefault(key[1], []).append(new["value"])
    for name, device_id in names.items():
        values = expected(name)[1]
        if united:
            values = {time: all_of_them[-1:] for time, all_of_them in values.items()}
        assert told.pop(device_id) == values


def test_the_series_repeat_times():
    repeated = {name: sum(len(values) > 1 for values in expected(name)[1].values()) for name in SERIES}
    assert repeated["machine_temperature_system_failure"] == 12, repeated


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_published(entrance, make_server, tmp_path):
    way = ENTRANCES[entrance](tmp_path)
    try:
        server = make_server(way.config()).start()
        way.attach(server)
        names = {name: device(way, f"nab/{name}") for name in SERIES}
        for name in SERIES:
            way.publish_all(
                (f"nab/{name}", f'{{"timestamp":"{timestamp}","value":{value}}}') for _, timestamp, value in rows(name)
            )
        stored = sum(len(expected(name)[0]) for name in SERIES)
        wait_for("the table", lambda: server.has_table("readings"))
        wait_for("the last reading", lambda: len(server.query("readings", names[SERIES[-1]])) == len(expected(SERIES[-1])[0]))
        for name, device_id in names.items():
            check_items(server, "readings", name, device_id)
        assert len([item for item in server.scan("readings") if item["device_id"] in names.values()]) == stored
        check_stream(server, "readings", names)
    finally:
        way.close()


def test_imported(server):
    for name in SERIES:
        server.run("import", NAB / f"{name}.csv", "--table", "nab", "--device-id", name, "--time", "timestamp")
    for name in SERIES:
        check_items(server, "nab", name, name)
    check_stream(server, "nab", {name: name for name in SERIES}, united=True)
