//! `millrace pub`: one message or many out, each acknowledged as its QoS asks.

use std::collections::HashSet;
use std::io::{BufRead, Read};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use clap::{ArgGroup, Args};
use millrace_core::codec::properties::{Carrier, PropertiesBuf, Property};
use millrace_core::packet::{Ack, Packet, PacketId, Publish, QoS};
use millrace_core::reason_code::ReasonCode;

use super::ClientError;
use super::connection::{Connection, refused};
use super::options::{ConnectOptions, check_field, qos};
use crate::exit::Exit;

/// QoS 1 and 2 messages under way at the same time, if the broker takes as many. Version 3 cannot say how many it takes;
/// 20 is what brokers commonly allow.
const WINDOW: usize = 20;
/// How long an acknowledgement may take.
const ACK_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a line of standard input that is here already may wait.
const POLL: Duration = Duration::from_millis(20);
/// Lines that are read ahead.
const LINES_AHEAD: usize = 1024;

/// Publish messages
#[derive(Args, Clone, Debug)]
#[command(disable_help_flag = true)]
#[command(override_usage = "millrace pub [OPTIONS] -t TOPIC (-m TEXT | -f FILE | -s | -l | -n)")]
#[command(group = ArgGroup::new("what").required(true).args(["message", "file", "stdin_file", "stdin_line", "null_message"]))]
pub struct PublishOptions {
    #[command(flatten)]
    connect: ConnectOptions,
    /// Topic Name
    #[arg(long, short = 't')]
    topic: String,
    /// Payload
    #[arg(long, short = 'm', allow_hyphen_values = true)]
    message: Option<String>,
    /// Payload from a file
    #[arg(long, short = 'f')]
    file: Option<PathBuf>,
    /// Payload from standard input, all of it
    #[arg(long, short = 's')]
    stdin_file: bool,
    /// A message for each line of standard input
    #[arg(long, short = 'l')]
    stdin_line: bool,
    /// Empty payload (with -r it removes the retained message)
    #[arg(long, short = 'n')]
    null_message: bool,
    /// QoS
    #[arg(long, short = 'q', default_value = "0", value_parser = qos)]
    qos: QoS,
    /// Retain
    #[arg(long, short = 'r')]
    retain: bool,
    /// Send the message this many times
    #[arg(long, default_value_t = 1, conflicts_with = "stdin_line")]
    repeat: u64,
    /// Seconds between them
    #[arg(long, default_value_t = 0.0)]
    repeat_delay: f64,
}

/// Where messages come from.
enum Payloads {
    /// The same one, so many more times, not before a time.
    Repeat { payload: Vec<u8>, left: u64, due: Instant, delay: Duration },
    /// A thread that reads lines.
    Lines(Receiver<std::io::Result<Vec<u8>>>),
}

enum Next {
    Payload(Vec<u8>),
    Later,
    End,
}

impl Payloads {
    fn next(&mut self) -> Result<Next, ClientError> {
        match self {
            Self::Repeat { left: 0, .. } => Ok(Next::End),
            Self::Repeat { due, .. } if *due > Instant::now() => Ok(Next::Later),
            Self::Repeat { payload, left, due, delay } => {
                *left -= 1;
                *due += *delay;
                Ok(Next::Payload(if *left == 0 { std::mem::take(payload) } else { payload.clone() }))
            }
            Self::Lines(lines) => match lines.try_recv() {
                Ok(Ok(line)) => Ok(Next::Payload(line)),
                Ok(Err(error)) => Err(ClientError::Failed(format!("cannot read standard input: {error}"))),
                Err(TryRecvError::Empty) => Ok(Next::Later),
                Err(TryRecvError::Disconnected) => Ok(Next::End),
            },
        }
    }
}

/// Runs the verb.
#[must_use]
pub fn run(options: &PublishOptions) -> Exit {
    match publish(options) {
        Ok(()) => Exit::Done,
        Err(error) if options.connect.quiet => error.exit(),
        Err(error) => error.say(),
    }
}

pub(super) fn publish(options: &PublishOptions) -> Result<(), ClientError> {
    let properties = options.connect.properties(Carrier::Publish)?;
    if options.topic.contains(['+', '#']) {
        return Err(ClientError::Usage(format!("{} is not a Topic Name: + and # are only in filters", options.topic)));
    }
    if options.topic.is_empty() && properties.as_properties().get(Property::TopicAlias).is_none() {
        return Err(ClientError::Usage("a Topic Name has at least one character".to_owned()));
    }
    check_field("the Topic Name", options.topic.len())?;
    let mut payloads = payloads(options)?;
    let mut connection = Connection::open(&options.connect)?;
    let sent = send_all(&mut connection, options, &properties, &mut payloads);
    if !matches!(sent, Err(ClientError::Failed(_) | ClientError::Unreachable(_))) {
        connection.close(options.connect.properties(Carrier::Disconnect)?.as_properties());
    }
    sent
}

fn payloads(options: &PublishOptions) -> Result<Payloads, ClientError> {
    let most = millrace_core::limits::REMAINING_LENGTH_MAX as usize;
    let payload = if options.stdin_line {
        return Ok(Payloads::Lines(read_lines()));
    } else if options.stdin_file {
        let mut payload = Vec::new();
        let read = std::io::stdin().lock().take(most as u64 + 1).read_to_end(&mut payload);
        read.map_err(|error| ClientError::Failed(format!("cannot read standard input: {error}")))?;
        payload
    } else if let Some(file) = &options.file {
        std::fs::read(file).map_err(|error| ClientError::Usage(format!("cannot read {}: {error}", file.display())))?
    } else {
        options.message.clone().unwrap_or_default().into_bytes()
    };
    check_packet(options, payload.len())?;
    let delay = Duration::try_from_secs_f64(options.repeat_delay)
        .map_err(|_| ClientError::Usage(format!("--repeat-delay {} is not a duration", options.repeat_delay)))?;
    Ok(Payloads::Repeat { payload, left: options.repeat, due: Instant::now(), delay })
}

/// Refuses a payload that no packet can carry. The properties of one packet come from a command line, which is short.
fn check_packet(options: &PublishOptions, payload: usize) -> Result<(), ClientError> {
    let around = options.topic.len() + options.connect.property.iter().map(|text| text.len() + 8).sum::<usize>() + 16;
    let most = (millrace_core::limits::REMAINING_LENGTH_MAX as usize).saturating_sub(around);
    if payload > most {
        return Err(ClientError::Usage(format!("a payload of {payload} bytes does not fit into a packet ({most} do)")));
    }
    Ok(())
}

fn read_lines() -> Receiver<std::io::Result<Vec<u8>>> {
    let (sender, receiver) = sync_channel(LINES_AHEAD);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().split(b'\n') {
            let line = line.map(|mut line| {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                line
            });
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn send_all(
    connection: &mut Connection,
    options: &PublishOptions,
    properties: &PropertiesBuf,
    payloads: &mut Payloads,
) -> Result<(), ClientError> {
    let window = WINDOW.min(connection.receive_maximum.into());
    let mut under_way: HashSet<PacketId> = HashSet::new();
    let mut progress = Instant::now();
    let mut ended = false;
    let mut refusal = None;
    loop {
        while !ended && under_way.len() < window {
            match payloads.next()? {
                Next::Payload(payload) => {
                    check_packet(options, payload.len())?;
                    let packet_id = (options.qos != QoS::AtMostOnce).then(|| connection.packet_id());
                    connection.send(&Packet::Publish(Publish {
                        dup: false,
                        qos: options.qos,
                        retain: options.retain,
                        topic: &options.topic,
                        packet_id,
                        properties: properties.as_properties(),
                        payload: &payload,
                    }))?;
                    if let Some(packet_id) = packet_id {
                        under_way.insert(packet_id);
                        progress = Instant::now();
                    }
                }
                Next::Later => break,
                Next::End => ended = true,
            }
        }
        if ended && under_way.is_empty() {
            return refusal.map_or(Ok(()), Err);
        }
        if !under_way.is_empty() && progress.elapsed() > ACK_TIMEOUT {
            let text = format!("{} messages were not acknowledged within {ACK_TIMEOUT:?}", under_way.len());
            return Err(ClientError::Failed(text));
        }
        let release = match connection.next(Instant::now() + POLL)? {
            Some(Packet::PubAck(ack) | Packet::PubComp(ack)) => {
                under_way.remove(&ack.packet_id);
                note(&mut refusal, &ack);
                progress = Instant::now();
                None
            }
            Some(Packet::PubRec(ack)) => {
                progress = Instant::now();
                note(&mut refusal, &ack);
                if ack.reason_code.is_error() {
                    under_way.remove(&ack.packet_id);
                    None
                } else {
                    Some(ack.packet_id)
                }
            }
            Some(_) | None => None,
        };
        if let Some(packet_id) = release {
            connection.send(&Packet::PubRel(Ack {
                packet_id,
                reason_code: ReasonCode::Success,
                properties: PropertiesBuf::new().as_properties(),
            }))?;
        }
    }
}

fn note(refusal: &mut Option<ClientError>, ack: &Ack<'_>) {
    if ack.reason_code.is_error() && refusal.is_none() {
        *refusal = Some(refused("the broker refused the message".to_owned(), ack.reason_code, ack.properties));
    }
}
