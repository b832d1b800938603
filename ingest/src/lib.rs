//! How readings enter: MQTT, NATS, routes, quarantine.
