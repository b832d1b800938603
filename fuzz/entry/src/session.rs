//! MQTT: a client's bytes, in pieces, to a session. The first byte says how long the pieces are.

use bytes::BytesMut;
use ingest::{Config, mqtt::session::Session};

pub(crate) fn session(bytes: &[u8]) {
    let Some((&piece, bytes)) = bytes.split_first() else { return };
    let mut session = Session::new(Config::default().settings.limits, "assigned".into(), 0);
    let (mut input, mut readings) = (BytesMut::new(), Vec::new());
    for (now_us, piece) in (0..).zip(bytes.chunks(usize::from(piece).max(1))) {
        input.extend_from_slice(piece);
        let taken = session.take(&mut input, &mut readings, now_us);
        assert!(session.in_flight() >= readings.len(), "what is not acknowledged is in flight");
        session.durable(readings.len(), now_us);
        readings.clear();
        session.output().clear();
        if let Err(fault) = taken {
            session.end(&fault);
            break;
        }
        if let Some(expected) = session.expects(&input) {
            assert!(expected > 0);
        }
    }
    session.take_will();
    assert!(session.take_will().is_none(), "a will is done once");
    let _ = (session.check_time(u64::MAX), session.seen());
}
