//! Where a client connects to, as whom and in which version; and properties as `-D` names them.

use std::path::PathBuf;

use clap::Args;
use millrace_core::codec::properties::{Carrier, Kind, PropertiesBuf, Property, TABLE};
use millrace_core::packet::{ProtocolVersion, QoS};

use super::ClientError;

/// What both verbs take. Help is `--help` and `-?`, because `-h` is the host.
#[derive(Args, Clone, Debug)]
pub struct ConnectOptions {
    /// Print help
    #[arg(long, short = '?', action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// Broker to connect to
    #[arg(long, short = 'h', default_value = "127.0.0.1")]
    pub host: String,
    /// Its port
    #[arg(long, short = 'p', default_value_t = 1883)]
    pub port: u16,
    /// User Name
    #[arg(long, short = 'u')]
    pub username: Option<String>,
    /// Password; everyone on this machine can read it in the process list
    #[arg(long, short = 'P', allow_hyphen_values = true)]
    pub password: Option<String>,
    /// File whose first line is the password
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    pub password_file: Option<PathBuf>,
    /// Client Identifier; without it the broker or the process number gives one
    #[arg(long, short = 'i')]
    pub id: Option<String>,
    /// Protocol version: 5, 311 or 31 (mqttv5, mqttv311 and mqttv31 too)
    #[arg(long, short = 'V', default_value = "5", value_parser = version)]
    pub protocol_version: ProtocolVersion,
    /// Keep Alive in seconds
    #[arg(long, short = 'k', default_value_t = 60)]
    pub keepalive: u16,
    /// Keep the session: Clean Start 0, and with version 5 an expiry of a day if -x does not say another
    #[arg(long, short = 'c')]
    pub disable_clean_session: bool,
    /// Session Expiry Interval in seconds (version 5); "never" and "∞" are 4294967295
    #[arg(long, short = 'x', value_parser = seconds)]
    pub session_expiry_interval: Option<u32>,
    /// Topic of the Will
    #[arg(long)]
    pub will_topic: Option<String>,
    /// Payload of the Will
    #[arg(long, requires = "will_topic", default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    pub will_payload: String,
    /// QoS of the Will
    #[arg(long, requires = "will_topic", default_value = "0", value_parser = qos)]
    pub will_qos: QoS,
    /// Retain the Will
    #[arg(long, requires = "will_topic")]
    pub will_retain: bool,
    /// A property (version 5): PACKET NAME VALUE, for user-property PACKET NAME KEY VALUE; PACKET is connect, will,
    /// publish, subscribe, unsubscribe or disconnect
    #[arg(long, short = 'D', num_args = 3..=4, value_names = ["PACKET", "NAME", "VALUE"])]
    pub property: Vec<String>,
    /// Say on stderr what is sent and received
    #[arg(long, short = 'd')]
    pub debug: bool,
    /// No words on errors, only the exit code
    #[arg(long)]
    pub quiet: bool,
}

/// The QoS of this number.
///
/// # Errors
/// What is allowed.
pub fn qos(text: &str) -> Result<QoS, String> {
    text.parse().ok().and_then(QoS::from_u8).ok_or_else(|| "QoS is 0, 1 or 2".to_owned())
}

fn version(text: &str) -> Result<ProtocolVersion, String> {
    match text.trim_start_matches("mqttv") {
        "5" | "50" | "5.0" => Ok(ProtocolVersion::V5),
        "311" | "3.1.1" | "4" => Ok(ProtocolVersion::V311),
        "31" | "3.1" | "3" => Ok(ProtocolVersion::V31),
        _ => Err("versions are 5, 311 and 31".to_owned()),
    }
}

fn seconds(text: &str) -> Result<u32, String> {
    match text {
        "never" | "∞" => Ok(u32::MAX),
        number => number.parse().map_err(|_| "a number of seconds, or never".to_owned()),
    }
}

impl ConnectOptions {
    /// Whether the session starts clean.
    #[must_use]
    pub fn clean_start(&self) -> bool {
        !self.disable_clean_session
    }

    /// The Client Identifier that is sent. 3.1 must have one, and a session that is kept too.
    #[must_use]
    pub fn client_id(&self) -> String {
        self.id.clone().unwrap_or_else(|| match self.protocol_version {
            ProtocolVersion::V5 | ProtocolVersion::V311 if self.clean_start() => String::new(),
            _ => format!("millrace-{}", std::process::id()),
        })
    }

    /// The password, from the option or its file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn password(&self) -> Result<Option<Vec<u8>>, ClientError> {
        let Some(path) = &self.password_file else {
            return Ok(self.password.clone().map(String::into_bytes));
        };
        let text = std::fs::read(path)
            .map_err(|error| ClientError::Usage(format!("cannot read {}: {error}", path.display())))?;
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        Ok(Some(line.strip_suffix(b"\r").unwrap_or(line).to_vec()))
    }

    /// The properties that `-D` gives to one packet.
    ///
    /// # Errors
    /// A name, a packet or a value that does not fit.
    pub fn properties(&self, carrier: Carrier) -> Result<PropertiesBuf, ClientError> {
        let mut properties = PropertiesBuf::new();
        let mut rest = self.property.as_slice();
        while let [packet, name, value, tail @ ..] = rest {
            let named = carrier_named(packet)?;
            let property = property_named(name)?;
            if !named.may_carry(property) {
                return Err(ClientError::Usage(format!("{named} does not carry {property}")));
            }
            if !self.protocol_version.is_v5() {
                return Err(ClientError::Usage("only version 5 has properties: -V 5".to_owned()));
            }
            rest = tail;
            let mut second = None;
            if property.kind() == Kind::Pair {
                let [pair_value, tail @ ..] = rest else {
                    return Err(ClientError::Usage("user-property wants a key and a value".to_owned()));
                };
                second = Some(pair_value);
                rest = tail;
            }
            if named == carrier {
                push(&mut properties, property, value, second.map(String::as_str))?;
            }
        }
        if !rest.is_empty() {
            return Err(ClientError::Usage(format!("-D wants PACKET NAME VALUE, got {}", rest.join(" "))));
        }
        Ok(properties)
    }
}

fn carrier_named(packet: &str) -> Result<Carrier, ClientError> {
    Ok(match packet.to_ascii_lowercase().as_str() {
        "connect" => Carrier::Connect,
        "will" => Carrier::Will,
        "publish" => Carrier::Publish,
        "subscribe" => Carrier::Subscribe,
        "unsubscribe" => Carrier::Unsubscribe,
        "disconnect" => Carrier::Disconnect,
        _ => {
            let message = format!(
                "-D {packet}: a client sends properties in connect, will, publish, subscribe, unsubscribe, disconnect"
            );
            return Err(ClientError::Usage(message));
        }
    })
}

fn property_named(name: &str) -> Result<Property, ClientError> {
    let spelt = |property: Property| property.name().to_ascii_lowercase().replace(' ', "-");
    TABLE.iter().map(|entry| entry.property).find(|property| spelt(*property) == name.to_ascii_lowercase()).ok_or_else(
        || {
            let names: Vec<String> = TABLE.iter().map(|entry| spelt(entry.property)).collect();
            let near = crate::diagnostics::nearest(name, names.iter().map(String::as_str));
            let hint = near.map_or_else(|| names.join(", "), |near| format!("did you mean {near}?"));
            ClientError::Usage(format!("no property is called {name}; {hint}"))
        },
    )
}

fn push(
    properties: &mut PropertiesBuf,
    property: Property,
    value: &str,
    pair: Option<&str>,
) -> Result<(), ClientError> {
    let number = |most: u32| {
        let parsed = value.parse::<u32>().ok();
        parsed.filter(|number| *number <= most && property.range().contains(*number)).ok_or_else(|| {
            ClientError::Usage(format!(
                "{property} is a whole number up to {most} that the specification allows, not {value}"
            ))
        })
    };
    let narrow = "its bounds were checked";
    match property.kind() {
        Kind::U8 => properties.push_u8(property, u8::try_from(number(u8::MAX.into())?).expect(narrow)),
        Kind::U16 => properties.push_u16(property, u16::try_from(number(u16::MAX.into())?).expect(narrow)),
        Kind::U32 => properties.push_u32(property, number(u32::MAX)?),
        Kind::Var => properties.push_var(property, number(millrace_core::limits::REMAINING_LENGTH_MAX)?),
        Kind::Bin => properties.push_bin(property, bounded(property, value)?.as_bytes()),
        Kind::Str | Kind::Topic => properties.push_str(property, bounded(property, value)?),
        Kind::Pair => properties.push_pair(property, bounded(property, value)?, bounded(property, pair.unwrap_or(""))?),
    };
    Ok(())
}

fn bounded(property: Property, value: &str) -> Result<&str, ClientError> {
    check_field(&property.to_string(), value.len())?;
    Ok(value)
}

/// Refuses what is too long for a field on the wire.
///
/// # Errors
/// It is.
pub fn check_field(what: &str, bytes: usize) -> Result<(), ClientError> {
    let most = millrace_core::limits::FIELD_BYTES_MAX;
    if bytes > most {
        return Err(ClientError::Usage(format!("{what} has {bytes} bytes, {most} at most are possible")));
    }
    Ok(())
}
