//! What the load consists of: readings of a fleet, no two of them the same item, ever.
//!
//! A reading is a number. Device and time follow from it, so a run may hand out numbers as it likes, and whoever sees an item
//! again (a follower, a subscriber) knows its number. A run's devices carry the run's tag: two runs against one server
//! never write the same item, because a write that changes nothing is not a write.
//!
//! Requests are made once and then only patched: every field that varies has a fixed width.

use std::ops::Range;

use super::http;

/// The first reading of every device, milliseconds since 1970.
const FIRST_MS: u64 = 1_767_225_600_000;
/// Each device reads so often.
pub(super) const STEP_MS: u64 = 1000;
/// What is late is late by an hour.
const LATE_STEPS: u64 = 3600;
/// Device numbers have so many digits.
const DEVICE_DIGITS: usize = 7;
/// And so there are at most so many.
pub(super) const DEVICES_MAX: u64 = 10_000_000;
const TIME_DIGITS: usize = 13;
const METRICS: [&str; 10] = ["lat", "lon", "alt", "vel", "hdg", "fuel", "rpm", "oil", "t1", "t2"];
const METRIC_SAMPLE: &str = "00.00";
/// Writes of one BatchWriteItem.
pub(super) const BATCH: usize = 25;

/// A run's readings.
#[derive(Clone, Debug)]
pub(super) struct Readings {
    tag: String,
    devices: u64,
    seed: u64,
    late: u64,
}

impl Readings {
    /// Those of `devices` devices of the run `tag` (five characters); `seed` decides the values, and which `late` of a hundred
    /// are late.
    pub(super) fn new(tag: &str, devices: u64, seed: u64, late: u64) -> Readings {
        Readings { tag: tag.to_owned(), devices, seed, late }
    }

    /// The time of the reading `number`, milliseconds since 1970. A late one is between two that are not.
    fn time_ms(&self, number: u64) -> u64 {
        let step = number / self.devices;
        let time = FIRST_MS + step * STEP_MS;
        let is_late = step >= LATE_STEPS && mixed(number) % 100 < self.late;
        if is_late { time - LATE_STEPS * STEP_MS + STEP_MS / 2 } else { time }
    }

    /// A tag that no other run has, as far as time and process tell.
    pub(super) fn tag_of(now_us: u64, pid: u32) -> String {
        let mut number = mixed(now_us ^ u64::from(pid) << 44);
        let digit = |_| {
            let digit = (number % 36) as u8;
            number /= 36;
            char::from(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 })
        };
        (0..5).map(digit).collect()
    }

    /// What the topics, and so the devices, of this run begin with.
    pub(super) fn prefix(&self) -> String {
        format!("bench/{}/", self.tag)
    }

    /// How many devices there are.
    pub(super) fn devices(&self) -> u64 {
        self.devices
    }

    /// The number of the reading of device and time, if it is one of these.
    pub(super) fn number(&self, device: &str, time_ms: u64) -> Option<u64> {
        let device: u64 = device.strip_prefix(&self.prefix())?.parse().ok()?;
        let since_ms = time_ms.checked_sub(FIRST_MS)?;
        let is_late = since_ms % STEP_MS != 0;
        let step = since_ms / STEP_MS + if is_late { LATE_STEPS } else { 0 };
        Some(step * self.devices + device)
    }

    /// A device's name with zeros for its number.
    fn device_sample(&self) -> String {
        format!("{}{:0DEVICE_DIGITS$}", self.prefix(), 0)
    }
}

/// Where in some bytes the fields of a reading are.
#[derive(Clone, Debug, Default)]
struct Places {
    device: usize,
    times: Vec<usize>,
    metrics: Vec<usize>,
}

/// Bytes with readings in them: a request, a packet, or several.
#[derive(Clone, Debug)]
pub(super) struct Template {
    bytes: Vec<u8>,
    readings: Vec<Places>,
    shared: Readings,
}

impl Template {
    /// One PutItem.
    pub(super) fn put_item(readings: &Readings, host: &str, table: &str) -> Template {
        let mut body = Body::new(readings);
        body.text(&format!("{{\"TableName\":\"{table}\",\"Item\":"));
        body.item();
        body.text("}");
        body.request(host, "PutItem")
    }

    /// One BatchWriteItem of [`BATCH`] puts.
    pub(super) fn batch_write_item(readings: &Readings, host: &str, table: &str) -> Template {
        let mut body = Body::new(readings);
        body.text(&format!("{{\"RequestItems\":{{\"{table}\":["));
        for number in 0..BATCH {
            body.text(if number == 0 { "" } else { "," });
            body.text("{\"PutRequest\":{\"Item\":");
            body.item();
            body.text("}}");
        }
        body.text("]}}");
        body.request(host, "BatchWriteItem")
    }

    /// One GetItem.
    pub(super) fn get_item(readings: &Readings, host: &str, table: &str) -> Template {
        let mut body = Body::new(readings);
        body.text(&format!("{{\"TableName\":\"{table}\",\"Key\":{{"));
        body.key();
        body.text("}}");
        body.request(host, "GetItem")
    }

    /// One UpdateItem that counts in an item that is there.
    pub(super) fn update_item(readings: &Readings, host: &str, table: &str) -> Template {
        let mut body = Body::new(readings);
        body.text(&format!("{{\"TableName\":\"{table}\",\"Key\":{{"));
        body.key();
        body.text(
            "},\"UpdateExpression\":\"SET n = if_not_exists(n, :zero) + :one\",\
             \"ConditionExpression\":\"attribute_exists(device_id)\",\
             \"ExpressionAttributeValues\":{\":zero\":{\"N\":\"0\"},\":one\":{\"N\":\"1\"}}}",
        );
        body.request(host, "UpdateItem")
    }

    /// One Query for the newest `limit` readings of a device.
    pub(super) fn query_newest(readings: &Readings, host: &str, table: &str, limit: u64) -> Template {
        let mut body = Body::new(readings);
        body.text(&format!(
            "{{\"TableName\":\"{table}\",\"Limit\":{limit},\"ScanIndexForward\":false,\
             \"KeyConditionExpression\":\"device_id = :d\",\"ExpressionAttributeValues\":{{\":d\":"
        ));
        body.device();
        body.text("}}");
        body.request(host, "Query")
    }

    /// One Query for the readings of a device from one time to another, both included.
    pub(super) fn query_span(readings: &Readings, host: &str, table: &str) -> Template {
        let mut body = Body::new(readings);
        body.text(&format!(
            "{{\"TableName\":\"{table}\",\"KeyConditionExpression\":\"device_id = :d AND ts BETWEEN :a AND :b\",\
             \"ExpressionAttributeValues\":{{\":d\":"
        ));
        body.device();
        for name in ["a", "b"] {
            body.text(&format!(",\":{name}\":"));
            body.time();
        }
        body.text("}}");
        body.request(host, "Query")
    }

    /// One MQTT payload of 139 bytes behind its topic, without the packet's head: topic, two bytes for the packet's
    /// identifier if `identified`, payload.
    pub(super) fn publish(readings: &Readings, identified: bool) -> Template {
        let mut body = Body::new(readings);
        body.places().device = body.bytes.len() + readings.prefix().len();
        body.text(&readings.device_sample());
        body.text(if identified { "\0\0" } else { "" });
        body.text("{\"ts\":");
        let time = body.bytes.len();
        body.places().times.push(time);
        body.text(&"0".repeat(TIME_DIGITS));
        for name in METRICS {
            body.text(&format!(",\"{name}\":"));
            body.metric();
        }
        body.text("}");
        body.end()
    }

    /// Bytes of a topic.
    pub(super) fn topic_bytes(readings: &Readings) -> usize {
        readings.device_sample().len()
    }

    /// Puts the readings with these numbers, as many as the template has, in their places.
    pub(super) fn fill(&mut self, mut number: impl FnMut() -> u64) -> &mut [u8] {
        for places in &self.readings {
            let number = number();
            let (device, step) = (number % self.shared.devices, number / self.shared.devices);
            let time_ms = self.shared.time_ms(number);
            digits(&mut self.bytes[places.device..][..DEVICE_DIGITS], device);
            for time in &places.times {
                digits(&mut self.bytes[*time..][..TIME_DIGITS], time_ms);
            }
            if places.metrics.is_empty() {
                continue;
            }
            // A slow ramp and some noise, as sensors have.
            let mut noise = mixed(self.shared.seed ^ number << 1);
            for (metric, place) in places.metrics.iter().enumerate() {
                let ramp = device * 37 + metric as u64 * 911 + step * (1 + metric as u64 % 3);
                hundredths(&mut self.bytes[*place..], 1000 + (ramp + (noise & 15)) % 9000);
                noise >>= 5;
            }
        }
        &mut self.bytes
    }

    /// As [`Template::fill`] with a range's times in a template that has two.
    pub(super) fn fill_span(&mut self, device: u64, steps: Range<u64>) -> &[u8] {
        let places = &self.readings[0];
        digits(&mut self.bytes[places.device..][..DEVICE_DIGITS], device);
        let ends = [steps.start, steps.end.saturating_sub(1)];
        for (time, step) in places.times.iter().zip(ends) {
            digits(&mut self.bytes[*time..][..TIME_DIGITS], FIRST_MS + step * STEP_MS);
        }
        &self.bytes
    }

    /// How many readings it has.
    pub(super) fn readings(&self) -> usize {
        self.readings.len()
    }
}

/// A template while it is made.
struct Body<'a> {
    shared: &'a Readings,
    bytes: Vec<u8>,
    readings: Vec<Places>,
}

impl<'a> Body<'a> {
    fn new(shared: &'a Readings) -> Body<'a> {
        Body { shared, bytes: Vec::new(), readings: Vec::new() }
    }

    fn text(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn places(&mut self) -> &mut Places {
        if self.readings.is_empty() {
            self.readings.push(Places::default());
        }
        self.readings.last_mut().expect("one was just pushed if there was none")
    }

    fn item(&mut self) {
        self.readings.push(Places::default());
        self.text("{");
        self.key();
        for name in METRICS {
            self.text(&format!(",\"{name}\":{{\"N\":\""));
            self.metric();
            self.text("\"}");
        }
        self.text("}");
    }

    fn key(&mut self) {
        self.text("\"device_id\":");
        self.device();
        self.text(",\"ts\":");
        self.time();
    }

    fn device(&mut self) {
        self.text("{\"S\":\"");
        self.places().device = self.bytes.len() + self.shared.prefix().len();
        self.text(&self.shared.device_sample());
        self.text("\"}");
    }

    fn time(&mut self) {
        self.text("{\"N\":\"");
        let place = self.bytes.len();
        self.places().times.push(place);
        self.text(&"0".repeat(TIME_DIGITS));
        self.text("\"}");
    }

    fn metric(&mut self) {
        let place = self.bytes.len();
        self.places().metrics.push(place);
        self.text(METRIC_SAMPLE);
    }

    fn end(self) -> Template {
        Template { bytes: self.bytes, readings: self.readings, shared: self.shared.clone() }
    }

    /// The body behind the head of a request.
    fn request(self, host: &str, operation: &str) -> Template {
        let head = http::post(host, operation, self.bytes.len());
        let mut template = self.end();
        for places in &mut template.readings {
            places.device += head.len();
            places.times.iter_mut().chain(&mut places.metrics).for_each(|place| *place += head.len());
        }
        template.bytes.splice(0..0, head);
        template
    }
}

/// A well spread number for each number (splitmix64).
pub(super) fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ number >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ number >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ number >> 31
}

/// `value` in decimal over the whole of `place`.
fn digits(place: &mut [u8], mut value: u64) {
    for byte in place.iter_mut().rev() {
        *byte = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// `value` from 1000 to 9999 as `dd.dd`.
fn hundredths(place: &mut [u8], value: u64) {
    digits(&mut place[..2], value / 100);
    digits(&mut place[3..5], value % 100);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn readings() -> Readings {
        Readings::new("a1b2c", 1000, 7, 0)
    }

    #[test]
    fn some_are_an_hour_late_and_no_two_are_the_same() {
        let readings = Readings::new("a1b2c", 2, 7, 20);
        let mut times = BTreeSet::new();
        let mut late = 0;
        for number in 0..20_000 {
            let (device, time_ms) = (number % 2, readings.time_ms(number));
            assert!(times.insert((device, time_ms)));
            assert_eq!(readings.number(&format!("bench/a1b2c/{device:07}"), time_ms), Some(number));
            match FIRST_MS + number / 2 * STEP_MS - time_ms {
                0 => {}
                by => {
                    assert_eq!(by, 3_600_000 - 500);
                    late += 1;
                }
            }
        }
        // Of those after the first hour.
        assert!((2300..2900).contains(&late), "{late}");
    }

    fn body(request: &[u8]) -> Value {
        let text = std::str::from_utf8(request).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        serde_json::from_str(body).unwrap()
    }

    #[test]
    fn a_put_is_296_bytes_of_12_attributes() {
        let mut template = Template::put_item(&readings(), "127.0.0.1:1", "bench");
        let request = template.fill(|| 3_001_005).to_vec();
        let head = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        assert_eq!(request.len() - head - 4, 296);
        let item = body(&request)["Item"].clone();
        assert_eq!(item.as_object().unwrap().len(), 12);
        assert_eq!(item["device_id"]["S"], "bench/a1b2c/0000005");
        assert_eq!(item["ts"]["N"], (FIRST_MS + 3001 * STEP_MS).to_string());
        let values: Vec<f64> = METRICS.map(|name| item[name]["N"].as_str().unwrap().parse().unwrap()).to_vec();
        assert!(values.iter().all(|value| (10.0..100.0).contains(value)), "{values:?}");
    }

    #[test]
    fn a_payload_is_139_bytes_of_json() {
        let mut template = Template::publish(&readings(), false);
        let bytes = template.fill(|| 1_234).to_vec();
        let (topic, payload) = bytes.split_at(Template::topic_bytes(&readings()));
        assert_eq!((topic, payload.len()), (&b"bench/a1b2c/0000234"[..], 139));
        let payload: Value = serde_json::from_slice(payload).unwrap();
        assert_eq!(payload["ts"], FIRST_MS + STEP_MS);
        assert_eq!(payload.as_object().unwrap().len(), 11);
    }

    #[test]
    fn a_batch_holds_25_different_items() {
        let mut template = Template::batch_write_item(&readings(), "127.0.0.1:1", "bench");
        let mut number = 990;
        let request = template.fill(|| {
            number += 1;
            number
        });
        let body = body(request);
        let puts = body["RequestItems"]["bench"].as_array().unwrap();
        let key = |put: &Value| {
            let item = &put["PutRequest"]["Item"];
            (item["device_id"]["S"].to_string(), item["ts"]["N"].to_string())
        };
        assert_eq!(puts.iter().map(key).collect::<BTreeSet<_>>().len(), BATCH);
    }

    #[test]
    fn reads_name_what_was_written() {
        let get = body(Template::get_item(&readings(), "h:1", "bench").fill(|| 2_042))["Key"].clone();
        let put = body(Template::put_item(&readings(), "h:1", "bench").fill(|| 2_042))["Item"].clone();
        assert_eq!((&get["device_id"], &get["ts"]), (&put["device_id"], &put["ts"]));
        let span = body(Template::query_span(&readings(), "h:1", "bench").fill_span(42, 2..5));
        let values = &span["ExpressionAttributeValues"];
        assert_eq!((&values[":d"], &values[":a"]), (&put["device_id"], &put["ts"]));
        assert_eq!(values[":b"]["N"], (FIRST_MS + 4 * STEP_MS).to_string());
        let newest = body(Template::query_newest(&readings(), "h:1", "bench", 3).fill(|| 2_042));
        assert_eq!(newest["ExpressionAttributeValues"][":d"], put["device_id"]);
    }

    #[test]
    fn an_item_tells_its_number() {
        let readings = readings();
        assert_eq!(readings.number("bench/a1b2c/0000005", FIRST_MS + 3001 * STEP_MS), Some(3_001_005));
        assert_eq!(readings.number("bench/other/0000005", FIRST_MS), None);
        assert_eq!(readings.number("bench/a1b2c/0000005", 0), None);
    }

    #[test]
    fn runs_have_tags_of_their_own() {
        let tags: BTreeSet<String> = (0..100).map(|us| Readings::tag_of(1_800_000_000_000_000 + us, 42)).collect();
        assert_eq!(tags.len(), 100);
        assert!(tags.iter().all(|tag| tag.len() == 5 && tag.bytes().all(|b| b.is_ascii_alphanumeric())));
    }
}
