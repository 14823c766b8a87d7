//! Every protocol limit by name, unit and reason. What an operator may change is in the config; these are its bounds.

/// The largest Remaining Length that four bytes can say (section 1.5.5).
pub const REMAINING_LENGTH_MAX: u32 = 268_435_455;
/// The largest packet that MQTT can say: first byte, four bytes of Remaining Length, and what they promise.
pub const PACKET_BYTES_MAX: u32 = REMAINING_LENGTH_MAX + 5;
/// The upper bound of what may be accepted: 1 MiB under what MQTT can say, because a message grows on its way out
/// (a Topic Name for its alias, Subscription Identifiers) and must still fit one packet.
pub const ACCEPTED_PACKET_BYTES_MAX: u32 = PACKET_BYTES_MAX - 1024 * 1024;
/// The longest UTF-8 string or binary field on the wire.
pub const FIELD_BYTES_MAX: usize = 65_535;
/// Before CONNECT has been accepted no packet may be larger: a client id, a Will and credentials fit.
pub const CONNECT_BYTES_MAX: u32 = 64 * 1024;
/// Topic Filters in one SUBSCRIBE or UNSUBSCRIBE.
pub const FILTERS_PER_PACKET_MAX: usize = 1024;
/// User Properties in one packet.
pub const USER_PROPERTIES_MAX: usize = 128;

const _: () = assert!(CONNECT_BYTES_MAX < ACCEPTED_PACKET_BYTES_MAX);
