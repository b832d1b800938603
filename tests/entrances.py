"""The ways in: each takes the same readings and says when all of them have been acknowledged.

An entrance knows how to configure a server, how to publish, and what acknowledged means there. Tests of behaviour that
must be the same everywhere are written once and run for each.
"""

import asyncio
import json
import threading

from harness import Mosquitto, Nats, wait_for


class Listener:
    """The embedded MQTT listener."""

    name = "listener"
    # What the metrics call it.
    label = "mqtt"
    # A reading without a time of its own that is redelivered may be stored again.
    redelivery_may_repeat = True

    def __init__(self, _directory):
        self.publisher = None
        self.server = None

    def config(self):
        return ""

    def attach(self, server):
        self.server = server

    def publish_all(self, readings):
        """Publishes (topic, payload) in order and waits for every acknowledgement."""
        with self.server.publisher("entrance") as publisher:
            for topic, payload in readings:
                publisher.publish(topic, payload)
            publisher.drain(240)

    def start_publishing(self, client_id="ledger"):
        """A publisher that keeps on over reconnects, with a ledger."""
        publisher = self.server.publisher(client_id, clean=False)
        publisher.client.reconnect_delay_set(min_delay=0.05, max_delay=0.2)
        return publisher.connect()

    def close(self):
        pass


class MosquittoSource:
    """An external broker, as a [[source]]."""

    name = "mosquitto"
    label = "plant"
    redelivery_may_repeat = True

    def __init__(self, directory):
        # A bound keeps the broker from sending all it has again after each kill. It keeps to it only roughly.
        self.broker = Mosquitto(directory / "mosquitto", in_flight_max=200).start()

    def config(self):
        return f'[[source]]\nname = "plant"\nurl = "mqtt://127.0.0.1:{self.broker.port}"\n'

    def attach(self, server):
        """Waits until the server has subscribed: what is published before nobody would keep."""
        log = self.broker.directory / "mosquitto.log"
        wait_for("the source's session", lambda: "thalweg-plant" in log.read_text())
        with self.broker.publisher("probe") as publisher:
            number = 0

            def subscribed():
                nonlocal number
                number += 1
                publisher.publish("probe", json.dumps({"ts": 1700000000000 + number}))
                return server.has_table("readings")

            wait_for("the source's subscription", subscribed, every=0.1)
            publisher.drain()

    def publish_all(self, readings):
        with self.broker.publisher("entrance") as publisher:
            for topic, payload in readings:
                publisher.publish(topic, payload)
            publisher.drain(240)

    def start_publishing(self, client_id="ledger"):
        return self.broker.publisher(client_id, clean=False).connect()

    def redelivered(self):
        return self.broker.redelivered("thalweg-plant")

    def close(self):
        self.broker.close()


class JetStreamSource:
    """A NATS JetStream stream, as a [[source]]."""

    name = "jetstream"
    label = "cloud"
    # The stored time and sequence number are the key, so a redelivery is the same item.
    redelivery_may_repeat = False

    def __init__(self, directory):
        self.broker = Nats(directory / "nats", sync_always=False).start()

        async def make(_client, jetstream):
            await jetstream.add_stream(name="TELEMETRY", subjects=["telemetry.>"])

        self.broker.run(make)

    def config(self):
        return f'[[source]]\nname = "cloud"\nurl = "{self.broker.url}"\nstream = "TELEMETRY"\n'

    def attach(self, server):
        pass

    def publish_all(self, readings):
        async def publish(_client, jetstream):
            pending = set()
            for topic, payload in readings:
                text = payload if isinstance(payload, (str, bytes)) else json.dumps(payload)
                data = text.encode() if isinstance(text, str) else text
                pending.add(await jetstream.publish_async(subject(topic), data))
                if len(pending) >= 500:
                    await asyncio.gather(*pending)
                    pending.clear()
            await asyncio.gather(*pending)

        self.broker.run(publish)

    def start_publishing(self, client_id="ledger"):
        return NatsPublisher(self.broker.url)

    def close(self):
        self.broker.close()


def subject(topic):
    """The NATS subject for a topic: below `telemetry.`, levels separated by dots."""
    return "telemetry." + topic.replace("/", ".")


class NatsPublisher:
    """Publishes into JetStream from a thread of its own; a ledger like harness.Publisher."""

    def __init__(self, url):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.pending = set()
        self.stored = []
        self.jetstream = self.call(self.connect(url))

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    async def connect(self, url):
        import nats

        self.client = await nats.connect(url)
        return self.client.jetstream()

    def publish(self, topic, payload, ledger=None):
        entry = json.dumps(payload) if ledger is None else ledger
        self.pending.add(entry)

        async def send():
            await self.jetstream.publish(subject(topic), json.dumps(payload).encode())
            self.stored.append(entry)
            self.pending.discard(entry)

        asyncio.run_coroutine_threadsafe(send(), self.loop)

    def unacknowledged(self):
        return list(self.pending)

    def ledger(self):
        return list(self.stored)

    def drain(self, timeout=60):
        wait_for("every publish acknowledgement", lambda: not self.pending, timeout)

    def close(self):
        self.call(self.client.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)


ENTRANCES = {entrance.name: entrance for entrance in [Listener, MosquittoSource, JetStreamSource]}


def device(entrance, topic):
    """The device that a topic names, seen through that entrance."""
    return subject(topic) if entrance.name == "jetstream" else topic
