//! Publishing readings over MQTT, and subscribing to them.

use std::{collections::VecDeque, rc::Rc};

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use super::{
    arguments::MqttArguments,
    audience::Audience,
    load::Phase,
    measure::{Measured, measure},
    pace::{Next, Turn},
    packet::{self, CONNACK, PINGRESP, PUBACK, PUBLISH, Packet, SUBACK},
    reading::{Readings, Template},
    target::Target,
};

/// Publishes, and lets as many as asked for subscribe.
pub(super) async fn run(
    target: &Target,
    arguments: &MqttArguments,
    readings: &Readings,
) -> anyhow::Result<(Measured, Option<Value>)> {
    let address = target.mqtt()?;
    let client = readings.prefix().trim_end_matches('/').replace('/', "-");
    let audience = Audience::new(readings, arguments.subscribers);
    let mut subscribers = JoinSet::new();
    for number in 0..arguments.subscribers {
        let mut session = Session::open(address, &format!("{client}-s{number}")).await?;
        session.output = packet::subscribe(&format!("{}#", readings.prefix()));
        session.send().await?;
        let packet = session.next().await?;
        if packet.kind() != SUBACK || packet.rest.last() != Some(&1) {
            bail!("{address} does not let a client subscribe at QoS 1");
        }
        session.pass();
        subscribers.spawn_local(listen(session, audience.clone()));
    }
    let told = (arguments.subscribers > 0).then_some(&audience);
    let mut publishers = Vec::new();
    for number in 0..arguments.load.connections {
        let session = Session::open(address, &format!("{client}-p{number}")).await?;
        publishers.push(Publisher {
            session,
            numbers: Numbers { next: number, stride: arguments.load.connections },
            form: Form::new(readings, arguments.qos),
            last_form: Form::new(readings, 1),
            waiting: VecDeque::new(),
            unasked: 0,
            first_unasked: None,
            in_flight: usize::from(arguments.in_flight),
            next_id: 1,
            audience: told.cloned(),
        });
    }
    let all_told = async |operations, measured| match told {
        Some(audience) => audience.all_told(operations, measured).await,
        None => Ok(None),
    };
    let measured = tokio::select! {
        measured = measure(target, &arguments.load, publishers, Publisher::work, all_told, true) => measured?,
        Some(ended) = subscribers.join_next() => match ended? {
            Ok(()) => bail!("a subscriber has ended"),
            Err(error) => return Err(error.context("a subscriber")),
        },
    };
    Ok((measured, told.map(|audience| audience.to_json())))
}

/// A connection that has been welcomed.
struct Session {
    stream: TcpStream,
    input: Vec<u8>,
    /// Bytes of `input` that are done with.
    used: usize,
    output: Vec<u8>,
}

impl Session {
    async fn open(address: &str, client_id: &str) -> anyhow::Result<Session> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true).context("TCP_NODELAY")?;
        let mut session = Session { stream, input: Vec::new(), used: 0, output: packet::connect(client_id) };
        session.send().await?;
        let packet = session.next().await?;
        if packet.kind() != CONNACK || packet.rest.get(1) != Some(&0) {
            bail!("{address} refuses an MQTT client: {packet:?}");
        }
        session.pass();
        Ok(session)
    }

    /// Sends what is in `output`.
    async fn send(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&self.output).await.context("the MQTT connection broke")?;
        self.output.clear();
        Ok(())
    }

    /// Waits until the packet that is next is whole.
    async fn next(&mut self) -> anyhow::Result<Packet<'_>> {
        while packet::split(&self.input[self.used..])?.is_none() {
            self.read().await?;
        }
        packet::split(&self.input[self.used..])?.context("the packet that was just seen")
    }

    /// The packet that is next, if it is whole.
    fn ready(&self) -> anyhow::Result<Option<Packet<'_>>> {
        packet::split(&self.input[self.used..])
    }

    /// Done with the packet that is next.
    fn pass(&mut self) {
        if let Ok(Some(packet)) = packet::split(&self.input[self.used..]) {
            self.used += packet.bytes;
        }
    }

    /// Waits for more input. Nothing is lost if the wait is given up.
    async fn read(&mut self) -> anyhow::Result<()> {
        self.input.drain(..std::mem::take(&mut self.used));
        self.input.reserve(16 << 10);
        match self.stream.read_buf(&mut self.input).await.context("the MQTT connection broke")? {
            0 => bail!("the server has closed the MQTT connection"),
            _ => Ok(()),
        }
    }
}

/// Takes readings, acknowledges them, and counts them, for ever.
async fn listen(mut session: Session, audience: Rc<Audience>) -> anyhow::Result<()> {
    loop {
        session.read().await?;
        while let Some(packet) = session.ready()? {
            if packet.kind() == PUBLISH {
                let (topic, id, payload) = packet.publish().context("a PUBLISH that ends early")?;
                audience.told(topic, time_ms(payload).context("a payload that nobody sent")?)?;
                if let Some(id) = id {
                    session.output.extend_from_slice(&packet::puback(id));
                }
            }
            session.pass();
        }
        session.send().await?;
    }
}

/// The time in a payload of ours.
fn time_ms(payload: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(payload).ok()?;
    text.strip_prefix("{\"ts\":")?.split_once(',')?.0.parse().ok()
}

/// The readings of one publisher.
struct Numbers {
    next: u64,
    stride: u64,
}

/// A PUBLISH that only needs its reading and its identifier.
struct Form {
    head: Vec<u8>,
    template: Template,
    /// Where the identifier is behind the head, if there is one.
    id: Option<usize>,
}

impl Form {
    fn new(readings: &Readings, qos: u8) -> Form {
        let mut template = Template::publish(readings, qos > 0);
        let topic = Template::topic_bytes(readings);
        let bytes = template.fill(|| 0).len();
        Form { head: packet::publish_head(qos, topic, bytes - topic), template, id: (qos > 0).then_some(topic) }
    }

    fn push(&mut self, number: u64, id: u16, output: &mut Vec<u8>) {
        output.extend_from_slice(&self.head);
        let rest = self.template.fill(|| number);
        if let Some(at) = self.id {
            rest[at..at + 2].copy_from_slice(&id.to_be_bytes());
        }
        output.extend_from_slice(rest);
    }
}

/// A connection that publishes.
struct Publisher {
    session: Session,
    numbers: Numbers,
    form: Form,
    /// At QoS 0 nobody says what has arrived, so each run ends with a reading at QoS 1.
    last_form: Form,
    /// Readings without their PUBACK; at QoS 0, the first of those whose PINGRESP is yet to come.
    waiting: VecDeque<(u16, Turn)>,
    /// At QoS 0, the readings that no PINGREQ follows yet, and the turn of the first.
    unasked: u64,
    first_unasked: Option<Turn>,
    in_flight: usize,
    next_id: u16,
    audience: Option<Rc<Audience>>,
}

impl Publisher {
    /// Publishes until the run ends, and until everything is acknowledged.
    async fn work(mut self, phase: Rc<Phase>) -> anyhow::Result<Publisher> {
        let mut ended = false;
        loop {
            while !ended && self.has_room() {
                match phase.pace.try_next() {
                    Next::Now(turn) => self.push(turn, &phase),
                    Next::Later => break,
                    Next::Ended => ended = true,
                }
            }
            if !self.session.output.is_empty() {
                self.session.send().await?;
            }
            if ended && self.waiting.is_empty() {
                break;
            }
            let room = !ended && self.has_room();
            tokio::select! {
                biased;
                read = self.session.read() => {
                    read?;
                    self.take(&phase)?;
                }
                turn = phase.pace.next(), if room => match turn {
                    Some(turn) => self.push(turn, &phase),
                    None => ended = true,
                },
            }
        }
        if !self.is_acknowledged() {
            self.last(&phase).await?;
        }
        Ok(self)
    }

    fn is_acknowledged(&self) -> bool {
        self.form.id.is_some()
    }

    fn has_room(&self) -> bool {
        if self.is_acknowledged() { self.waiting.len() < self.in_flight } else { self.waiting.is_empty() }
    }

    /// Puts the next reading into the output.
    fn push(&mut self, turn: Turn, phase: &Phase) {
        let number = self.number(turn);
        phase.begins(turn);
        self.form.push(number, self.next_id, &mut self.session.output);
        if self.is_acknowledged() {
            self.waiting.push_back((self.next_id, turn));
            self.next_id = self.next_id.checked_add(1).unwrap_or(1);
            return;
        }
        // The answer to a ping says that what was sent before it has been taken; without it the load would only fill buffers.
        let first = *self.first_unasked.get_or_insert(turn);
        self.unasked += 1;
        if self.unasked as usize == self.in_flight {
            self.session.output.extend_from_slice(&packet::PINGREQ);
            self.waiting.push_back((0, first));
            self.unasked = 0;
            self.first_unasked = None;
        }
    }

    fn number(&mut self, turn: Turn) -> u64 {
        let number = self.numbers.next;
        self.numbers.next += self.numbers.stride;
        if let Some(audience) = &self.audience {
            audience.sent(number, turn.intended);
        }
        number
    }

    /// Takes the acknowledgements that have arrived.
    fn take(&mut self, phase: &Phase) -> anyhow::Result<()> {
        while let Some(packet) = self.session.ready()? {
            if packet.kind() == PUBACK {
                let id = packet.id()?;
                let place = self.waiting.iter().position(|(waiting, _)| *waiting == id);
                let (_, turn) = place
                    .and_then(|place| self.waiting.remove(place))
                    .with_context(|| format!("a PUBACK for {id}, which waits for none"))?;
                phase.done(turn, 1);
            } else if packet.kind() == PINGRESP {
                let (_, turn) = self.waiting.pop_front().context("a PINGRESP that nobody asked for")?;
                phase.done(turn, self.in_flight as u64);
            }
            self.session.pass();
        }
        Ok(())
    }

    /// One more reading, at QoS 1: when it is acknowledged, those before it have arrived.
    async fn last(&mut self, phase: &Phase) -> anyhow::Result<()> {
        let turn = Turn { intended: std::time::Instant::now() };
        let number = self.number(turn);
        self.last_form.push(number, 1, &mut self.session.output);
        self.session.send().await?;
        while self.session.next().await?.kind() != PUBACK {
            self.session.pass();
        }
        self.session.pass();
        phase.more_done(1 + std::mem::take(&mut self.unasked));
        self.first_unasked = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_makes_packets_that_can_be_split_again() {
        let readings = Readings::new("a1b2c", 10, 1, 0);
        for qos in [0, 1] {
            let mut output = Vec::new();
            let mut form = Form::new(&readings, qos);
            form.push(3, 700, &mut output);
            form.push(14, 701, &mut output);
            let first = packet::split(&output).unwrap().unwrap();
            let (topic, id, payload) = first.publish().unwrap();
            assert_eq!((topic, id), ("bench/a1b2c/0000003", (qos > 0).then_some(700)));
            assert_eq!(payload.len(), 139);
            let second = packet::split(&output[first.bytes..]).unwrap().unwrap();
            let (topic, _, payload) = second.publish().unwrap();
            assert_eq!(readings.number(topic, time_ms(payload).unwrap()), Some(14));
            assert_eq!(first.bytes + second.bytes, output.len());
        }
    }
}
