//! A broker without topics, sessions or checks: what the runtime alone costs a message.
//!
//! `null_broker [io_uring|epoll] [shards] [port]` answers CONNECT and SUBSCRIBE, and gives each PUBLISH as it came to
//! the subscribers of its Topic Name on the same shard, whatever its QoS. With more than one shard, connections that
//! belong to a topic of another shard are not served: it is for measuring, on one shard.

use std::collections::HashMap;
use std::sync::Arc;

use millrace_core::time::{Millis, Time};
use millrace_shards::berths::Berths;
use millrace_shards::config::EngineChoice;
use millrace_shards::runtime::{self, ListenerSettings, Settings};
use millrace_shards::send_buffer::SendBuffer;
use millrace_shards::shard::io::{Accepted, ConnId, Gone, ListenerId, Output, ShardId};
use millrace_shards::shard::logic::Logic;

#[derive(Default)]
struct Conn {
    generation: u32,
    /// Bytes of an incomplete packet.
    partial: Vec<u8>,
    out: SendBuffer,
    due: bool,
    stalled: bool,
    version: u8,
}

#[derive(Default)]
struct NullBroker {
    conns: Vec<Conn>,
    due: Vec<ConnId>,
    topics: HashMap<Vec<u8>, Vec<ConnId>>,
    /// Subscribers with wildcards get what nobody else wants.
    all: Vec<ConnId>,
    last: (Vec<u8>, Vec<ConnId>),
}

impl NullBroker {
    fn conn(&mut self, conn: ConnId) -> &mut Conn {
        let index = conn.slot as usize;
        if index >= self.conns.len() {
            self.conns.resize_with(index + 1, Conn::default);
        }
        &mut self.conns[index]
    }

    fn say(&mut self, conn: ConnId, bytes: &[u8], out: &mut impl Output) {
        let state = &mut self.conns[conn.slot as usize];
        if state.generation != conn.generation {
            return;
        }
        if !state.due {
            state.due = true;
            self.due.push(conn);
            if state.out.bytes.capacity() == 0 {
                state.out = out.buffer();
            }
        }
        state.out.bytes.extend_from_slice(bytes);
    }

    fn packet(&mut self, conn: ConnId, packet: &[u8], head: usize, out: &mut impl Output) {
        let body = &packet[head..];
        match packet[0] >> 4 {
            1 => {
                let version = body[6];
                self.conn(conn).version = version;
                let answer: &[u8] = if version == 5 { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] };
                self.say(conn, answer, out);
            }
            3 => {
                let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
                let topic = &body[2..2 + length];
                if self.last.0 != topic {
                    self.last.0.clear();
                    self.last.0.extend_from_slice(topic);
                    self.last.1 = self.topics.get(topic).unwrap_or(&self.all).clone();
                }
                let subscribers = std::mem::take(&mut self.last.1);
                for subscriber in &subscribers {
                    self.say(*subscriber, packet, out);
                }
                self.last.1 = subscribers;
            }
            8 => {
                let properties = usize::from(self.conn(conn).version == 5);
                let filter = &body[2 + properties..];
                let length = usize::from(u16::from_be_bytes([filter[0], filter[1]]));
                let topic = filter[2..2 + length].to_vec();
                if topic.contains(&b'#') || topic.contains(&b'+') {
                    self.all.push(conn);
                } else {
                    self.topics.entry(topic).or_default().push(conn);
                }
                self.last.0.clear();
                let answer: &[u8] =
                    if properties == 1 { &[0x90, 4, body[0], body[1], 0, 0] } else { &[0x90, 3, body[0], body[1], 0] };
                self.say(conn, answer, out);
            }
            12 => self.say(conn, &[0xd0, 0], out),
            _ => {}
        }
    }

    /// Handles whole packets; says how many bytes they were.
    fn packets(&mut self, conn: ConnId, bytes: &[u8], out: &mut impl Output) -> usize {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            let (mut length, mut head) = (0_usize, 1);
            loop {
                let Some(byte) = rest.get(head) else {
                    return at;
                };
                length |= usize::from(byte & 0x7f) << (7 * (head - 1));
                head += 1;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let Some(packet) = rest.get(..head + length) else {
                return at;
            };
            self.packet(conn, packet, head, out);
            at += head + length;
        }
    }
}

impl Logic for NullBroker {
    type Frame = millrace_shards::shard::frame::Frame;
    type Control = ();

    fn accepted(&mut self, _now: Time, accepted: Accepted, out: &mut impl Output) {
        let conn = accepted.conn;
        *self.conn(conn) = Conn { generation: conn.generation, ..Conn::default() };
        out.receive(conn);
    }

    fn received(&mut self, _now: Time, conn: ConnId, bytes: &[u8], out: &mut impl Output) {
        let state = self.conn(conn);
        if state.partial.is_empty() {
            let used = self.packets(conn, bytes, out);
            if used < bytes.len() {
                self.conn(conn).partial.extend_from_slice(&bytes[used..]);
            }
        } else {
            let mut whole = std::mem::take(&mut state.partial);
            whole.extend_from_slice(bytes);
            let used = self.packets(conn, &whole, out);
            whole.drain(..used);
            self.conn(conn).partial = whole;
        }
    }

    fn gone(&mut self, _now: Time, conn: ConnId, _how: Gone, _out: &mut impl Output) {
        self.conn(conn).generation = 0;
        for subscribers in self.topics.values_mut() {
            subscribers.retain(|other| *other != conn);
        }
        self.all.retain(|other| *other != conn);
        self.last.0.clear();
    }

    fn stalled(&mut self, conn: ConnId, _unsent: usize) {
        self.conn(conn).stalled = true;
    }

    fn drained(&mut self, _now: Time, conn: ConnId, _out: &mut impl Output) {
        let state = self.conn(conn);
        state.stalled = false;
        if !state.out.is_empty() && !state.due {
            state.due = true;
            self.due.push(conn);
        }
    }

    fn adopted(&mut self, _: Time, _: ConnId, _: ShardId, _: u64, _: &mut impl Output) {}

    fn frame(&mut self, _: Time, _: ShardId, _: Self::Frame, _: &mut impl Output) {}

    fn mesh_drained(&mut self, _: Time, _: &mut impl Output) {}

    fn control(&mut self, _: Time, (): (), _: &mut impl Output) {}

    fn next_deadline(&self) -> Millis {
        Millis::NEVER
    }

    fn turn(&mut self, _now: Time, out: &mut impl Output) {
        for conn in self.due.drain(..) {
            let state = &mut self.conns[conn.slot as usize];
            if state.generation != conn.generation {
                continue;
            }
            state.due = false;
            if !state.stalled {
                out.send(conn, std::mem::take(&mut state.out));
            }
        }
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let engine = match arguments.next().as_deref() {
        Some("epoll") => EngineChoice::Epoll,
        Some("io_uring") => EngineChoice::IoUring,
        _ => EngineChoice::Auto,
    };
    let shards: u16 = arguments.next().map_or(1, |number| number.parse().expect("a number of shards"));
    let port: u16 = arguments.next().map_or(18_830, |number| number.parse().expect("a port"));
    let settings = Settings {
        engine,
        listeners: vec![ListenerSettings {
            id: ListenerId(0),
            name: "default".into(),
            address: ([127, 0, 0, 1], port).into(),
            send_buffer: None,
        }],
        connections_max: 100_000,
        berths: Arc::new(Berths::new(shards)),
    };
    let logics = (0..shards).map(|_| NullBroker::default).collect();
    let runtime = match runtime::start(&settings, logics) {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error[{}]: {error}", error.code());
            for line in error.remedy() {
                eprintln!("  {line}");
            }
            std::process::exit(1);
        }
    };
    println!("{:?} on {:?}", runtime.engine(), runtime.addresses());
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3));
        if std::env::var_os("VERBOSE").is_some() {
            println!("{:?}", runtime.vitals());
        }
    }
}
