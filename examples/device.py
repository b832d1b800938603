"""A device: publishes readings over MQTT.

    pip install paho-mqtt
    python3 device.py [how many readings, default 10]

Each PUBACK means that the reading is on stable storage. The topic names the device; the payload's fields become attributes.
THALWEG_MQTT says where the server is (default 127.0.0.1:1883).
"""

import json
import math
import os
import sys
import time

import paho.mqtt.client as mqtt

host, port = os.environ.get("THALWEG_MQTT", "127.0.0.1:1883").rsplit(":", 1)
count = int(sys.argv[1]) if len(sys.argv) > 1 else 10

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="example-device")
client.connect(host, int(port))
client.loop_start()
for number in range(count):
    reading = {
        "ts": time.time_ns() // 1_000_000,  # milliseconds since 1970, the device's own clock
        "temperature": round(21 + 2 * math.sin(number / 5), 2),
        "humidity": 40 + number % 7,
    }
    client.publish("sensors/example", json.dumps(reading), qos=1).wait_for_publish(timeout=30)
    print("stored", json.dumps(reading))
    time.sleep(0.01)
client.loop_stop()
client.disconnect()
