//! Both verbs against a broker that plays a script: these bytes are due, then those are sent.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use clap::Parser;

use super::publish::{PublishOptions, publish};
use super::subscribe::{SubscribeOptions, subscribe};
use crate::exit::Exit;

#[derive(Debug, Parser)]
enum Verb {
    Pub(PublishOptions),
    Sub(SubscribeOptions),
}

/// One step of the script: what must come, then what is sent.
type Step = (&'static [u8], &'static [u8]);

/// A broker for one connection, on a free port.
fn broker(script: &'static [Step]) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the client connects");
        for (due, answer) in script {
            let mut met = vec![0; due.len()];
            stream.read_exact(&mut met).expect("the client sends all that is due");
            assert_eq!(met, *due, "{:?}", String::from_utf8_lossy(&met));
            stream.write_all(answer).expect("the client reads");
        }
    });
    (port, thread)
}

fn play(line: &str, script: &'static [Step]) -> (Exit, String) {
    let (port, thread) = broker(script);
    let port = port.to_string();
    let words = line.split_whitespace().map(|word| word.replace('_', " "));
    let args = ["millrace".to_owned()].into_iter().chain(words).chain(["-p".to_owned(), port]);
    let mut out = Vec::new();
    let exit = match Verb::try_parse_from(args).expect("the line is understood") {
        Verb::Pub(options) => publish(&options).map(|()| Exit::Done),
        Verb::Sub(options) => subscribe(&options, &mut out),
    };
    let exit = exit.unwrap_or_else(|error| {
        out.extend_from_slice(error.to_string().as_bytes());
        error.exit()
    });
    thread.join().expect("the script was played");
    (exit, String::from_utf8(out).expect("it is text"))
}

const CONNECT_V5: &[u8] = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01i";
const CONNECT_V311: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01i";
const CONNECT_V31: &[u8] = b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01i";
const CONNACK_V5: &[u8] = b"\x20\x03\x00\x00\x00";
const CONNACK_V3: &[u8] = b"\x20\x02\x00\x00";
const DISCONNECT: &[u8] = b"\xe0\x00";

#[test]
fn qos_0_is_sent_in_each_version() {
    let script: &[Step] = &[(CONNECT_V5, CONNACK_V5), (b"\x30\x06\x00\x01t\x00hi", b""), (DISCONNECT, b"")];
    assert_eq!(play("pub -i i -t t -m hi", script), (Exit::Done, String::new()));
    let script: &[Step] = &[(CONNECT_V311, CONNACK_V3), (b"\x31\x05\x00\x01thi", b""), (DISCONNECT, b"")];
    assert_eq!(play("pub -V 311 -i i -t t -m hi -r", script), (Exit::Done, String::new()));
    let script: &[Step] = &[(CONNECT_V31, CONNACK_V3), (b"\x30\x03\x00\x01t", b""), (DISCONNECT, b"")];
    assert_eq!(play("pub -V mqttv31 -i i -t t -n", script), (Exit::Done, String::new()));
}

#[test]
fn qos_1_waits_for_puback_and_qos_2_for_pubcomp() {
    let script: &[Step] = &[
        (CONNECT_V5, CONNACK_V5),
        (b"\x32\x08\x00\x01t\x00\x01\x00hi\x32\x08\x00\x01t\x00\x02\x00hi", b"\x40\x02\x00\x02\x40\x02\x00\x01"),
        (DISCONNECT, b""),
    ];
    assert_eq!(play("pub -i i -t t -m hi -q 1 --repeat 2", script).0, Exit::Done);
    let script: &[Step] = &[
        (CONNECT_V311, CONNACK_V3),
        (b"\x34\x07\x00\x01t\x00\x01hi", b"\x50\x02\x00\x01"),
        (b"\x62\x02\x00\x01", b"\x70\x02\x00\x01"),
        (DISCONNECT, b""),
    ];
    assert_eq!(play("pub -V 311 -i i -t t -m hi -q 2", script).0, Exit::Done);
}

#[test]
fn properties_are_sent_where_they_were_named() {
    let script: &[Step] = &[
        (CONNECT_V5, CONNACK_V5),
        (b"\x30\x15\x00\x01t\x0f\x03\x00\x03a/b\x26\x00\x01k\x00\x03v vhi", b""),
        (DISCONNECT, b""),
    ];
    let line = "pub -i i -t t -m hi -D publish content-type a/b -D publish user-property k v_v";
    assert_eq!(play(line, script).0, Exit::Done);
}

#[test]
fn refusals_are_told_with_their_reason() {
    let script: &[Step] = &[(CONNECT_V5, b"\x20\x09\x00\x87\x06\x1f\x00\x03sry")];
    let (exit, text) = play("pub -i i -t t -m hi", script);
    assert_eq!(exit, Exit::NotAllowed);
    assert_eq!(text, "the broker refused the connection (MQTT 5.0): Not authorized (0x87): sry");
    let script: &[Step] = &[(CONNECT_V311, b"\x20\x02\x00\x03")];
    assert_eq!(play("pub -V 311 -i i -t t -m hi", script).0, Exit::Unreachable);
    let script: &[Step] =
        &[(CONNECT_V5, CONNACK_V5), (b"\x32\x08\x00\x01t\x00\x01\x00hi", b"\x40\x03\x00\x01\x97"), (DISCONNECT, b"")];
    let (exit, text) = play("pub -i i -t t -m hi -q 1", script);
    assert_eq!((exit, text.as_str()), (Exit::Failed, "the broker refused the message: Quota exceeded (0x97)"));
    let script: &[Step] =
        &[(CONNECT_V5, CONNACK_V5), (b"\x82\x07\x00\x01\x00\x00\x01t\x00", b"\x90\x04\x00\x01\x00\x8f")];
    let (exit, text) = play("sub -i i -t t", script);
    assert_eq!((exit, text.as_str()), (Exit::Failed, "the broker refused t: Topic Filter invalid (0x8F)"));
    let script: &[Step] =
        &[(CONNECT_V5, CONNACK_V5), (b"\x82\x07\x00\x01\x00\x00\x01t\x00", b"\x90\x04\x00\x01\x00\x00\xe0\x01\x8b")];
    let (exit, text) = play("sub -i i -t t", script);
    assert_eq!(exit, Exit::Unreachable);
    assert_eq!(text, "the broker ended the connection: Server shutting down (0x8B)");
}

#[test]
fn messages_are_printed_acknowledged_and_counted() {
    let script: &[Step] = &[
        (CONNECT_V5, CONNACK_V5),
        (
            b"\x82\x07\x00\x01\x00\x00\x01#\x02",
            b"\x90\x04\x00\x01\x00\x02\
              \x30\x04\x00\x01a\x00\
              \x32\x08\x00\x01b\x00\x07\x00hi\
              \x34\x08\x00\x01c\x00\x08\x00ho\
              \x3c\x08\x00\x01c\x00\x08\x00ho",
        ),
        (b"\x40\x02\x00\x07\x50\x02\x00\x08\x50\x02\x00\x08", b"\x62\x02\x00\x08"),
        (b"\x70\x02\x00\x08", b"\x34\x08\x00\x01c\x00\x08\x00hu"),
        (b"\x50\x02\x00\x08", b""),
        (DISCONNECT, b""),
    ];
    let (exit, text) = play("sub -i i -t # -q 2 -v -C 4", script);
    assert_eq!((exit, text.as_str()), (Exit::Done, "a \nb hi\nc ho\nc hu\n"));
}

#[test]
fn a_packet_may_come_in_any_pieces_and_an_alias_stands_for_its_topic() {
    let script: &[Step] = &[
        (b"\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x03\x22\x00\x05\x00\x01i", b"\x20"),
        (b"", b"\x03\x00\x00\x00"),
        (b"\x82\x07\x00\x01\x00\x00\x01t\x00", b"\x90\x04\x00\x01\x00\x00\x30"),
        (b"", b"\x08\x00\x01t\x03\x23\x00\x01x\x30\x07\x00\x00\x03\x23\x00\x01y"),
        (DISCONNECT, b""),
    ];
    let (exit, text) = play("sub -i i -t t -C 2 -F %t=%p -D connect topic-alias-maximum 5", script);
    assert_eq!((exit, text.as_str()), (Exit::Done, "t=x\nt=y\n"));
}

#[test]
fn waiting_ends_with_the_time_or_the_connection() {
    let script: &[Step] = &[
        (CONNECT_V5, CONNACK_V5),
        (b"\x82\x07\x00\x01\x00\x00\x01t\x00", b"\x90\x04\x00\x01\x00\x00"),
        (DISCONNECT, b""),
    ];
    assert_eq!(play("sub -i i -t t -C 1 -W 0.05", script).0, Exit::Failed);
    assert_eq!(play("sub -i i -t t -W 0.05", script).0, Exit::Done);
    let script: &[Step] = &[(CONNECT_V5, b"")];
    let (exit, text) = play("sub -i i -t t", script);
    assert_eq!((exit, text.as_str()), (Exit::Failed, "the broker closed the connection"));
}

#[test]
fn nobody_there_is_told_as_such() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port is free").local_addr().expect("it is bound").port();
    let args = ["millrace", "pub", "-t", "t", "-m", "x", "-p"].map(str::to_owned);
    let Ok(Verb::Pub(options)) = Verb::try_parse_from(args.into_iter().chain([port.to_string()])) else {
        panic!("the line is understood");
    };
    assert_eq!(publish(&options).expect_err("nobody listens").exit(), Exit::Unreachable);
}

#[test]
fn what_cannot_be_asked_is_refused_before_connecting() {
    for line in [
        "pub -t a/# -m x",
        "pub -t t -m x -D publish topic-alias-maximum 5",
        "pub -t t -m x -D publish contnt-type a",
        "pub -t t -m x -D publish topic-alias 0",
        "pub -V 311 -t t -m x -D publish content-type a",
        "sub -t t -F %z",
    ] {
        let words = ["millrace"].into_iter().chain(line.split_whitespace());
        let error = match Verb::try_parse_from(words).expect(line) {
            Verb::Pub(options) => publish(&options).expect_err(line),
            Verb::Sub(options) => subscribe(&options, &mut Vec::new()).map(|_| ()).expect_err(line),
        };
        assert_eq!(error.exit(), Exit::Usage, "{line}: {error}");
    }
    for line in ["pub -t t", "pub -t t -m x -n", "pub -t t -m x -q 3", "sub", "pub -V 6 -t t -n"] {
        let words = ["millrace"].into_iter().chain(line.split_whitespace());
        assert!(Verb::try_parse_from(words).is_err(), "{line}");
    }
}
