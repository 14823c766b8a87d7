//! Packets over one blocking socket, with deadlines, Keep Alive and Ctrl-C.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millrace_core::codec::properties::{Carrier, Properties, Property};
use millrace_core::codec::{Direction, FixedHeader, decode, encode};
use millrace_core::packet::{Connect, Disconnect, Packet, PacketId, ProtocolVersion, Will};
use millrace_core::reason_code::ReasonCode;

use super::ClientError;
use super::options::{ConnectOptions, check_field};

/// How long each address of the host is tried, and CONNACK waited for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a write may stand still.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a wait looks for Ctrl-C.
const SLICE: Duration = Duration::from_millis(100);
/// How long the broker may take to close after DISCONNECT.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
/// A session that `-c` keeps without saying how long.
const KEPT_SESSION_SECONDS: u32 = 86_400;

/// An open connection whose CONNECT was accepted.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    version: ProtocolVersion,
    received: Vec<u8>,
    /// Bytes in front that belong to the packet that was given out last.
    taken: usize,
    keep_alive: Option<Duration>,
    sent_at: Instant,
    ping_at: Option<Instant>,
    next_id: u16,
    /// QoS 1 and 2 messages that the broker takes unacknowledged.
    pub receive_maximum: u16,
    interrupted: Arc<AtomicBool>,
    debug: bool,
}

impl Connection {
    /// Connects and waits for CONNACK.
    ///
    /// # Errors
    /// Nobody answers, or the broker refuses.
    pub fn open(options: &ConnectOptions) -> Result<Self, ClientError> {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // The second one ends the program at once.
            signal_hook::flag::register_conditional_default(signal, interrupted.clone())
                .and_then(|_| signal_hook::flag::register(signal, interrupted.clone()))
                .map_err(|error| ClientError::Failed(format!("cannot watch signals: {error}")))?;
        }
        let stream = dial(&options.host, options.port)?;
        let prepare = |stream: &TcpStream| {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(SLICE))?;
            stream.set_write_timeout(Some(WRITE_TIMEOUT))
        };
        prepare(&stream).map_err(|error| ClientError::Failed(format!("cannot set up the socket: {error}")))?;
        let mut connection = Self {
            stream,
            version: options.protocol_version,
            received: Vec::new(),
            taken: 0,
            keep_alive: (options.keepalive > 0).then(|| Duration::from_secs(options.keepalive.into())),
            sent_at: Instant::now(),
            ping_at: None,
            next_id: 0,
            receive_maximum: u16::MAX,
            interrupted,
            debug: options.debug,
        };
        connection.connect(options)?;
        Ok(connection)
    }

    fn connect(&mut self, options: &ConnectOptions) -> Result<(), ClientError> {
        let mut properties = options.properties(Carrier::Connect)?;
        let given = |property| properties.as_properties().get(property).is_some();
        let expiry = match options.session_expiry_interval {
            Some(_) if !self.version.is_v5() => {
                return Err(ClientError::Usage("-x wants version 5: -V 5".to_owned()));
            }
            Some(expiry) => Some(expiry),
            None if !options.clean_start() && self.version.is_v5() && !given(Property::SessionExpiryInterval) => {
                Some(KEPT_SESSION_SECONDS)
            }
            None => None,
        };
        if let Some(expiry) = expiry {
            properties.push_u32(Property::SessionExpiryInterval, expiry);
        }
        let (client_id, password) = (options.client_id(), options.password()?);
        let will_properties = options.properties(Carrier::Will)?;
        check_field("the Client Identifier", client_id.len())?;
        check_field("the User Name", options.username.as_ref().map_or(0, String::len))?;
        check_field("the password", password.as_ref().map_or(0, Vec::len))?;
        check_field("the Will Topic", options.will_topic.as_ref().map_or(0, String::len))?;
        check_field("the Will Payload", options.will_payload.len())?;
        let connect = Connect {
            version: self.version,
            bridge: false,
            clean_start: options.clean_start(),
            keep_alive: options.keepalive,
            properties: properties.as_properties(),
            client_id: &client_id,
            will: options.will_topic.as_deref().map(|topic| Will {
                qos: options.will_qos,
                retain: options.will_retain,
                properties: will_properties.as_properties(),
                topic,
                payload: options.will_payload.as_bytes(),
            }),
            username: options.username.as_deref(),
            password: password.as_deref(),
        };
        self.send(&Packet::Connect(Box::new(connect)))?;
        let version = self.version;
        let (granted_id, server_keep_alive, receive_maximum) = match self.next(Instant::now() + CONNECT_TIMEOUT)? {
            None => {
                let text = format!("{}:{}: it took the connection and sent no CONNACK", options.host, options.port);
                return Err(ClientError::Unreachable(text));
            }
            Some(Packet::ConnAck(connack)) if connack.reason_code == ReasonCode::Success => (
                connack.properties.str(Property::AssignedClientIdentifier).map(str::to_owned),
                connack.properties.u16(Property::ServerKeepAlive),
                connack.properties.u16(Property::ReceiveMaximum),
            ),
            Some(Packet::ConnAck(connack)) => {
                let what = format!("the broker refused the connection (MQTT {version})");
                return Err(refused(what, connack.reason_code, connack.properties));
            }
            Some(other) => return Err(unexpected("CONNACK", &other)),
        };
        if let Some(seconds) = server_keep_alive {
            self.keep_alive = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
        }
        self.receive_maximum = receive_maximum.unwrap_or(u16::MAX);
        if let Some(id) = granted_id.filter(|_| self.debug) {
            eprintln!("the broker calls us {}", crate::diagnostics::printable(&id));
        }
        Ok(())
    }

    /// A Packet Identifier that was not given out lately.
    pub fn packet_id(&mut self) -> PacketId {
        self.next_id = self.next_id.wrapping_add(1).max(1);
        PacketId::new(self.next_id).expect("it is at least 1")
    }

    /// Sends one packet.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn send(&mut self, packet: &Packet<'_>) -> Result<(), ClientError> {
        let mut bytes = Vec::new();
        encode(self.version, packet, &mut bytes);
        if self.debug {
            eprintln!("-> {}", brief(packet));
        }
        self.sent_at = Instant::now();
        self.stream.write_all(&bytes).map_err(|error| match self.farewell() {
            Some(last_words) => last_words,
            None => ClientError::Failed(format!("the connection broke while sending: {error}")),
        })
    }

    /// What the broker said before it closed, if that is why a write failed.
    fn farewell(&mut self) -> Option<ClientError> {
        loop {
            match self.next(Instant::now() + CLOSE_TIMEOUT) {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error @ ClientError::Refused { .. }) => return Some(error),
                Err(_) => return None,
            }
        }
    }

    /// Whether a whole packet is here already.
    #[must_use]
    pub fn has_more(&self) -> bool {
        let rest = &self.received[self.taken..];
        matches!(FixedHeader::parse(rest), Ok(Some(header)) if header.packet_len() <= rest.len())
    }

    /// The next packet; none if the deadline came first.
    ///
    /// # Errors
    /// The connection ended, the broker sent DISCONNECT or what is no packet, or Ctrl-C.
    pub fn next(&mut self, deadline: Instant) -> Result<Option<Packet<'_>>, ClientError> {
        self.received.drain(..self.taken);
        self.taken = 0;
        let length = loop {
            let header = FixedHeader::parse(&self.received).map_err(nonsense)?;
            if let Some(header) = header
                && self.received.len() >= header.packet_len()
            {
                break header.packet_len();
            }
            if self.interrupted.load(Ordering::Relaxed) {
                return Err(ClientError::Interrupted);
            }
            let now = Instant::now();
            if now >= deadline {
                return Ok(None);
            }
            self.keep_alive(now)?;
            let slice = (deadline - now).clamp(Duration::from_millis(1), SLICE);
            self.fill(slice)?;
        };
        self.taken = length;
        let packet = decode(self.version, Direction::ToClient, &self.received[..length]).map_err(nonsense)?;
        if self.debug {
            eprintln!("<- {}", brief(&packet));
        }
        match packet {
            Packet::Disconnect(disconnect) => {
                let what = "the broker ended the connection".to_owned();
                Err(refused(what, disconnect.reason_code, disconnect.properties))
            }
            packet => Ok(Some(packet)),
        }
    }

    fn fill(&mut self, slice: Duration) -> Result<(), ClientError> {
        let mut buffer = [0; 16 * 1024];
        let read = self.stream.set_read_timeout(Some(slice)).and_then(|()| self.stream.read(&mut buffer));
        match read {
            Ok(0) => Err(ClientError::Failed("the broker closed the connection".to_owned())),
            Ok(bytes) => {
                self.ping_at = None;
                self.received.extend_from_slice(&buffer[..bytes]);
                Ok(())
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) =>
            {
                Ok(())
            }
            Err(error) => Err(ClientError::Failed(format!("the connection broke: {error}"))),
        }
    }

    fn keep_alive(&mut self, now: Instant) -> Result<(), ClientError> {
        let Some(keep_alive) = self.keep_alive else {
            return Ok(());
        };
        if self.ping_at.is_some_and(|at| now - at > keep_alive.max(CONNECT_TIMEOUT)) {
            return Err(ClientError::Failed("the broker does not answer PINGREQ".to_owned()));
        }
        if now - self.sent_at >= keep_alive * 3 / 4 {
            self.ping_at.get_or_insert(now);
            self.send(&Packet::PingReq)?;
        }
        Ok(())
    }

    /// DISCONNECT, and waits until the broker has closed, so that nothing sent before is lost.
    pub fn close(mut self, properties: Properties<'_>) {
        let disconnect = Disconnect { reason_code: ReasonCode::Success, properties };
        if self.send(&Packet::Disconnect(disconnect)).is_err() {
            return;
        }
        // The work is done; what fails here has nobody to be told.
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        let until = Instant::now() + CLOSE_TIMEOUT;
        while Instant::now() < until && self.fill(SLICE).is_ok() {
            self.received.clear();
        }
    }
}

fn dial(host: &str, port: u16) -> Result<TcpStream, ClientError> {
    let unreachable = |error: &dyn std::fmt::Display| ClientError::Unreachable(format!("{host}:{port}: {error}"));
    let host_name = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = (host_name, port).to_socket_addrs().map_err(|error| unreachable(&error))?;
    let mut last = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| unreachable(&"the name has no address"), |error| unreachable(&error)))
}

/// The broker's no, with its Reason String.
#[must_use]
pub fn refused(what: String, reason: ReasonCode, properties: Properties<'_>) -> ClientError {
    let text = properties.str(Property::ReasonString).map(|text| format!(": {text}")).unwrap_or_default();
    ClientError::Refused { what, reason, text }
}

/// A packet that has no place here.
#[must_use]
pub fn unexpected(wanted: &str, met: &Packet<'_>) -> ClientError {
    ClientError::Failed(format!("{wanted} was due, the broker sent {}", brief(met)))
}

fn nonsense(error: millrace_core::codec::DecodeError) -> ClientError {
    ClientError::Failed(format!("what the broker sent is not MQTT: {error}"))
}

fn brief(packet: &Packet<'_>) -> String {
    let ack = |name: &str, ack: &millrace_core::packet::Ack<'_>| {
        format!("{name} {} {}", ack.packet_id, ack.reason_code.name())
    };
    match packet {
        Packet::Connect(connect) => {
            format!("CONNECT {:?} MQTT {}", connect.client_id, connect.version)
        }
        Packet::ConnAck(connack) => {
            format!("CONNACK {} session present {}", connack.reason_code.name(), connack.session_present)
        }
        Packet::Publish(publish) => format!(
            "PUBLISH {:?} QoS {} retain {} dup {} id {} {} bytes",
            publish.topic,
            publish.qos as u8,
            publish.retain,
            publish.dup,
            publish.packet_id.map_or(0, PacketId::get),
            publish.payload.len()
        ),
        Packet::PubAck(packet) => ack("PUBACK", packet),
        Packet::PubRec(packet) => ack("PUBREC", packet),
        Packet::PubRel(packet) => ack("PUBREL", packet),
        Packet::PubComp(packet) => ack("PUBCOMP", packet),
        Packet::Subscribe(subscribe) => {
            format!("SUBSCRIBE {} with {} filters", subscribe.packet_id, subscribe.filters.len())
        }
        Packet::SubAck(suback) => format!("SUBACK {}", suback.packet_id),
        Packet::Unsubscribe(packet) => {
            format!("UNSUBSCRIBE {} with {} filters", packet.packet_id, packet.filters.len())
        }
        Packet::UnsubAck(packet) => format!("UNSUBACK {}", packet.packet_id),
        Packet::PingReq => "PINGREQ".to_owned(),
        Packet::PingResp => "PINGRESP".to_owned(),
        Packet::Disconnect(packet) => format!("DISCONNECT {}", packet.reason_code.name()),
        Packet::Auth(packet) => format!("AUTH {}", packet.reason_code.name()),
    }
}
