//! Sessions as tables: what goes in, and what becomes of it.

use super::inflight::Inflight;
use super::*;
use crate::message::{MessageHead, MessageView};

const ROOM: QueueLimits =
    QueueLimits { messages: 3, bytes: 1 << 20, drop_oldest: true, keep_qos0: false, keep_all: false };

fn session(expiry: u32, window: u16) -> Session {
    let mut session = Session::new("client", 1, ProtocolVersion::V5, expiry);
    session.inflight.set_limit(window);
    session
}

fn view(payload: &[u8], expires_at: Millis) -> MessageView<'_> {
    let head = MessageHead { qos: QoS::ExactlyOnce, retain: false, expires_at, publisher: 0 };
    MessageView { head, topic: "t", properties: &[], payload }
}

fn grant(qos: QoS) -> Grant {
    Grant { qos, ..Grant::default() }
}

fn admit(session: &mut Session, payload: &[u8], qos: QoS, online: bool, room: bool, limits: &QueueLimits) -> Admit {
    session.admit(&Lazy::new(view(payload, Millis::NEVER)), &grant(qos), online, room, limits)
}

/// The payloads that wait, oldest first.
fn waiting(session: &mut Session) -> Vec<u8> {
    session.take_queued().iter().map(|queued| queued.message.view().payload[0]).collect()
}

fn id(value: u16) -> PacketId {
    PacketId::new(value).expect("not 0")
}

#[test]
fn qos_0_is_sent_dropped_or_kept_as_the_client_is() {
    let keep = QueueLimits { keep_qos0: true, ..ROOM };
    // (online, room, something waits, limits, expiry) to what becomes of it.
    let sent = |admit: &Admit| matches!(admit, Admit::Send(None));
    let slow = |admit: &Admit| matches!(admit, Admit::Dropped(Dropped::Slow));
    let away = |admit: &Admit| matches!(admit, Admit::Away);
    let kept = |admit: &Admit| matches!(admit, Admit::Queued { dropped: [0, 0, 0] });
    type Expected<'a> = &'a dyn Fn(&Admit) -> bool;
    let table: [(bool, bool, bool, &QueueLimits, u32, Expected<'_>); 9] = [
        (true, true, false, &ROOM, 0, &sent),
        (true, false, false, &ROOM, 0, &slow),
        (true, true, true, &ROOM, 10, &sent),
        (true, true, true, &keep, 10, &kept),
        (true, false, true, &keep, 10, &slow),
        (false, false, false, &ROOM, 10, &away),
        (false, false, true, &ROOM, 10, &away),
        (false, false, false, &keep, 10, &kept),
        (false, false, false, &keep, 0, &away),
    ];
    for (row, (online, room, waits, limits, expiry, expected)) in table.into_iter().enumerate() {
        let mut session = session(expiry, 1);
        if waits {
            admit(&mut session, b"1", QoS::AtLeastOnce, false, false, limits);
        }
        let met = admit(&mut session, b"0", QoS::AtMostOnce, online, room, limits);
        assert!(expected(&met), "row {row}: {met:?}");
    }
}

#[test]
fn qos_1_waits_for_the_window_and_keeps_its_order() {
    let mut session = session(10, 1);
    let first = admit(&mut session, b"a", QoS::AtLeastOnce, true, true, &ROOM);
    assert!(matches!(first, Admit::Send(Some(packet_id)) if packet_id == id(1)), "{first:?}");
    let second = admit(&mut session, b"b", QoS::AtLeastOnce, true, true, &ROOM);
    assert!(matches!(second, Admit::Queued { dropped: [0, 0, 0] }), "{second:?}");
    assert!(session.next_queued(false).is_none(), "the window is full");
    assert!(matches!(session.on_puback(id(1)), Acked::Done { qos: QoS::AtLeastOnce, group: 0 }));
    // A window with room does not let a newer message pass one that waits.
    let third = admit(&mut session, b"c", QoS::AtLeastOnce, true, true, &ROOM);
    assert!(matches!(third, Admit::Queued { dropped: [0, 0, 0] }), "{third:?}");
    let (next, packet_id) = session.next_queued(false).expect("the window has room");
    assert_eq!((next.message.view().payload, packet_id), (&b"b"[..], Some(id(2))));
}

#[test]
fn a_full_queue_drops_the_oldest_or_the_newest() {
    for (drop_oldest, left) in [(true, b"cde"), (false, b"abc")] {
        let limits = QueueLimits { drop_oldest, ..ROOM };
        let mut session = session(10, 1);
        let mut dropped = 0;
        for payload in [b"a", b"b", b"c", b"d", b"e"] {
            match admit(&mut session, payload, QoS::AtLeastOnce, false, false, &limits) {
                Admit::Queued { dropped: [0, oldest, 0] } => dropped += oldest,
                Admit::Dropped(Dropped::QueueFull) => dropped += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((dropped, waiting(&mut session)), (2, left.to_vec()));
    }
}

#[test]
fn what_is_dropped_is_told_by_its_own_qos() {
    let limits = QueueLimits { messages: 2, keep_qos0: true, ..ROOM };
    let mut session = session(10, 1);
    let qos = [QoS::ExactlyOnce, QoS::AtMostOnce, QoS::AtLeastOnce, QoS::AtMostOnce];
    let dropped = qos.map(|qos| match admit(&mut session, b"a", qos, false, false, &limits) {
        Admit::Queued { dropped } => dropped,
        other => panic!("{other:?}"),
    });
    assert_eq!(dropped, [[0, 0, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]]);
}

#[test]
fn a_queue_is_bounded_in_bytes_too() {
    let message = Message::new(&view(&[7; 1000], Millis::NEVER)).bytes() as u64 + size_of::<Queued>() as u64;
    let limits = QueueLimits { messages: 100, bytes: 2 * message, ..ROOM };
    let mut session = session(10, 1);
    for _ in 0..5 {
        admit(&mut session, &[7; 1000], QoS::AtLeastOnce, false, false, &limits);
        assert!(session.queued_bytes() <= limits.bytes);
    }
    assert_eq!(session.queued(), 2);
    // One that is larger than the whole queue is dropped itself and costs no other.
    let huge = admit(&mut session, &[7; 5000], QoS::AtLeastOnce, false, false, &limits);
    assert!(matches!(huge, Admit::Dropped(Dropped::QueueFull)), "{huge:?}");
    assert_eq!((session.queued(), session.queued_bytes()), (2, limits.bytes));
}

#[test]
fn what_is_under_way_counts_against_the_bytes_of_the_queue() {
    let message = Message::new(&view(&[7; 1000], Millis::NEVER)).bytes() as u64 + size_of::<Queued>() as u64;
    let limits = QueueLimits { messages: 100, bytes: 3 * message + 200, ..ROOM };
    let mut session = session(10, 100);
    let mut sent = Vec::new();
    for _ in 0..50 {
        if let Admit::Send(Some(id)) = admit(&mut session, &[7; 1000], QoS::AtLeastOnce, true, true, &limits) {
            sent.push(id);
        }
        assert!(session.inflight.kept_bytes() + session.queued_bytes() <= limits.bytes);
    }
    assert_eq!((sent.len(), session.queued()), (3, 0));
    assert_eq!(session.full_limit(&limits), Limit::QueuedBytes);
    // An acknowledgement makes room.
    assert!(matches!(session.on_puback(sent[0]), Acked::Done { .. }));
    assert!(matches!(admit(&mut session, &[7; 1000], QoS::AtLeastOnce, true, true, &limits), Admit::Send(Some(_))));
    // One that is larger than all of it goes when it is alone.
    let mut session = self::session(10, 100);
    assert!(matches!(admit(&mut session, &[7; 9000], QoS::AtLeastOnce, true, true, &limits), Admit::Send(Some(_))));
    // Where nothing is kept nothing is held back.
    let mut session = self::session(0, 100);
    for _ in 0..50 {
        let admitted = admit(&mut session, &[7; 1000], QoS::AtLeastOnce, true, true, &limits);
        assert!(matches!(admitted, Admit::Send(Some(_))));
    }
    assert_eq!(session.held(), Held { queued: 0, queued_bytes: 0, inflight: 50 });
}

#[test]
fn what_expired_in_the_queue_is_counted_and_never_sent() {
    let mut session = session(10, 10);
    for (payload, expires_at) in [(b"a", 5), (b"b", 5), (b"c", u64::MAX), (b"d", 5)] {
        let lazy = Lazy::new(view(payload, Millis(expires_at)));
        session.admit(&lazy, &grant(QoS::AtLeastOnce), false, false, &QueueLimits { messages: 10, ..ROOM });
    }
    assert_eq!(session.expire_queued(Millis(4)), [0, 0, 0]);
    assert_eq!(session.expire_queued(Millis(5)), [0, 2, 0]);
    let (next, packet_id) = session.next_queued(false).expect("one has not expired");
    assert_eq!((next.message.view().payload, packet_id), (&b"c"[..], Some(id(1))));
    assert_eq!((session.expire_queued(Millis(5)), session.queued()), ([0, 1, 0], 0));
}

#[test]
fn qos_2_goes_through_all_stages_once() {
    let mut session = session(10, 2);
    let sent = admit(&mut session, b"a", QoS::ExactlyOnce, true, true, &ROOM);
    assert!(matches!(sent, Admit::Send(Some(packet_id)) if packet_id == id(1)), "{sent:?}");
    assert!(matches!(session.on_puback(id(1)), Acked::Unknown), "PUBACK is no answer to QoS 2");
    assert!(matches!(session.on_pubcomp(id(1)), Acked::Unknown), "PUBCOMP comes after PUBREC");
    assert!(matches!(session.on_pubrec(id(1), false), Acked::Release { group: 0 }));
    // A PUBREC that comes again is answered again; the message itself is gone.
    assert!(matches!(session.on_pubrec(id(1), false), Acked::Release { group: 0 }));
    assert!(session.unacknowledged().all(|(_, entry)| entry.stage == Stage::Pubcomp && entry.kept.is_none()));
    assert!(matches!(session.on_pubcomp(id(1)), Acked::Done { qos: QoS::ExactlyOnce, group: 0 }));
    assert!(matches!(session.on_pubcomp(id(1)), Acked::Unknown));
    assert!(matches!(session.on_pubrec(id(1), false), Acked::Unknown));
}

#[test]
fn pubrec_with_an_error_ends_the_delivery() {
    let mut session = session(10, 1);
    admit(&mut session, b"a", QoS::ExactlyOnce, true, true, &ROOM);
    assert!(matches!(session.on_pubrec(id(1), true), Acked::Done { qos: QoS::ExactlyOnce, group: 0 }));
    assert!(session.inflight.is_empty() && session.inflight.has_room());
    // Once released, an error is too late to end it.
    admit(&mut session, b"b", QoS::ExactlyOnce, true, true, &ROOM);
    session.on_pubrec(id(2), false);
    assert!(matches!(session.on_pubrec(id(2), true), Acked::Release { .. }));
}

#[test]
fn a_group_hears_of_its_message_once() {
    let mut session = session(10, 4);
    let grant = Grant { group: 77, ..grant(QoS::ExactlyOnce) };
    session.admit(&Lazy::new(view(b"a", Millis::NEVER)), &grant, true, true, &ROOM);
    assert!(matches!(session.on_pubrec(id(1), false), Acked::Release { group: 77 }));
    assert!(matches!(session.on_pubrec(id(1), false), Acked::Release { group: 0 }));
    assert!(matches!(session.on_pubcomp(id(1)), Acked::Done { group: 0, .. }));
}

#[test]
fn only_what_groups_must_pass_on_is_taken_out_of_a_queue() {
    let mut session = session(10, 1);
    let limits = QueueLimits { messages: 10, keep_qos0: true, ..ROOM };
    for (payload, qos, group) in [
        (b"a", QoS::AtLeastOnce, 0),
        (b"b", QoS::AtLeastOnce, 7),
        (b"c", QoS::AtMostOnce, 7),
        (b"d", QoS::ExactlyOnce, 8),
    ] {
        let grant = Grant { group, ..grant(qos) };
        session.admit(&Lazy::new(view(payload, Millis::NEVER)), &grant, false, false, &limits);
    }
    let before = session.queued_bytes();
    let taken = session.take_queued_of_groups();
    let groups: Vec<_> = taken.iter().map(|queued| (queued.message.view().payload[0], queued.grant.group)).collect();
    assert_eq!(groups, [(b'b', 7), (b'd', 8)]);
    assert_eq!(session.queued_bytes(), before / 2);
    assert_eq!(waiting(&mut session), b"ac");
}

#[test]
fn a_session_that_ends_with_its_connection_keeps_no_message() {
    for (expiry, group, kept) in [(0, 0, false), (10, 0, true), (0, 7, true)] {
        let mut session = session(expiry, 4);
        let grant = Grant { group, ..grant(QoS::AtLeastOnce) };
        session.admit(&Lazy::new(view(b"a", Millis::NEVER)), &grant, true, true, &ROOM);
        assert!(
            session.unacknowledged().all(|(_, entry)| entry.kept.is_some() == kept),
            "expiry {expiry}, group {group}"
        );
    }
}

/// Sends again what there is room for; the identifiers in order.
fn again(inflight: &mut Inflight) -> Vec<u16> {
    std::iter::from_fn(|| inflight.next_unseen().map(|(packet_id, _)| packet_id.get())).collect()
}

#[test]
fn what_is_sent_again_keeps_to_the_new_window() {
    let mut inflight = Inflight::default();
    inflight.set_limit(6);
    let qos =
        [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtLeastOnce, QoS::AtLeastOnce];
    for qos in qos {
        inflight.begin(qos, None);
    }
    inflight.release(id(2));
    inflight.end(id(3));
    inflight.set_limit(2);
    inflight.resume();
    assert!(!inflight.has_room() && inflight.has_unseen());
    // 1 takes the window, 2 is a PUBREL, which needs none but counts.
    assert_eq!(again(&mut inflight), [1, 2]);
    inflight.end(id(1));
    assert_eq!(again(&mut inflight), [4]);
    // An answer from before, to what has not been sent again: nothing more to send.
    inflight.end(id(6));
    inflight.end(id(2));
    assert_eq!(again(&mut inflight), [5]);
    assert!(!inflight.has_unseen() && !inflight.has_room());
    inflight.end(id(4));
    inflight.end(id(5));
    assert!(inflight.is_empty() && inflight.has_room());
    assert_eq!(inflight.begin(QoS::AtLeastOnce, None), id(7));
}

#[test]
fn a_connection_that_breaks_before_all_was_sent_again_begins_anew() {
    let mut inflight = Inflight::default();
    inflight.set_limit(5);
    for _ in 0..5 {
        inflight.begin(QoS::AtLeastOnce, None);
    }
    inflight.set_limit(1);
    inflight.resume();
    assert_eq!(again(&mut inflight), [1]);
    inflight.end(id(1));
    inflight.set_limit(10);
    inflight.resume();
    assert_eq!(again(&mut inflight), [2, 3, 4, 5]);
    inflight.resume();
    for packet_id in 2..=5 {
        inflight.end(id(packet_id));
    }
    assert_eq!(again(&mut inflight), []);
    assert!(inflight.has_room() && !inflight.has_unseen());
}

#[test]
fn a_delivery_that_begins_behind_done_ones_is_not_one_to_be_sent_again() {
    for ended_unseen in [false, true] {
        let mut inflight = Inflight::default();
        inflight.set_limit(10);
        for _ in 0..4 {
            inflight.begin(QoS::AtLeastOnce, None);
        }
        inflight.end(id(3));
        inflight.end(id(4));
        inflight.resume();
        assert_eq!(inflight.next_unseen().map(|(packet_id, _)| packet_id), Some(id(1)));
        if ended_unseen {
            inflight.end(id(2));
        } else {
            assert_eq!(inflight.next_unseen().map(|(packet_id, _)| packet_id), Some(id(2)));
        }
        assert!(inflight.has_room());
        let new = inflight.begin(QoS::AtLeastOnce, None);
        assert!(!inflight.has_unseen() && inflight.next_unseen().is_none());
        inflight.end(new);
        inflight.end(id(1));
        inflight.end(id(2));
        assert!(inflight.is_empty() && inflight.has_room());
    }
}

#[test]
fn a_session_expires_when_its_interval_is_over_or_never() {
    let now = Millis(1000);
    assert_eq!(session(0, 1).expires_at(now), now);
    assert_eq!(session(5, 1).expires_at(now), Millis(6000));
    assert_eq!(session(NEVER_EXPIRES, 1).expires_at(now), Millis::NEVER);
    assert!(session(NEVER_EXPIRES - 1, 1).expires_at(Millis(u64::MAX - 1)) == Millis::NEVER);
}
