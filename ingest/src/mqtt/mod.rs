//! MQTT: the embedded listener and the client of an external broker.
