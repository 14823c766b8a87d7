//! PROXY protocol: the address of the real peer, in front of the first packet (versions 1 and 2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// A version 1 line has at most 107 bytes, with its CR LF.
const V1_LINE_MAX: usize = 107;
/// A version 2 header with more than this is refused: addresses and a few TLVs fit.
const V2_BYTES_MAX: usize = 2048;

/// Why the first bytes are no PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error("the connection does not begin with a PROXY protocol header, which this listener requires")]
    Absent,
    #[error("the PROXY protocol header is malformed")]
    Malformed,
    #[error("the PROXY protocol header is over {V2_BYTES_MAX} bytes")]
    TooLong,
}

/// A header that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Its length in bytes.
    pub(crate) len: usize,
    /// The real peer; absent for the proxy's own health checks (LOCAL, UNKNOWN).
    pub(crate) peer: Option<SocketAddr>,
}

/// Reads a header; `None` while bytes are missing.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Header>, ProxyError> {
    if bytes.starts_with(V2_SIGNATURE) {
        return parse_v2(bytes);
    }
    if bytes.starts_with(b"PROXY ") {
        return parse_v1(bytes);
    }
    let may_still = V2_SIGNATURE.starts_with(&bytes[..bytes.len().min(12)]) || b"PROXY ".starts_with(bytes);
    if may_still { Ok(None) } else { Err(ProxyError::Absent) }
}

fn parse_v1(bytes: &[u8]) -> Result<Option<Header>, ProxyError> {
    let window = &bytes[..bytes.len().min(V1_LINE_MAX)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() >= V1_LINE_MAX { Err(ProxyError::Malformed) } else { Ok(None) };
    };
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| ProxyError::Malformed)?;
    let mut words = line.split(' ').skip(1);
    let family = words.next().ok_or(ProxyError::Malformed)?;
    if family == "UNKNOWN" {
        return Ok(Some(Header { len: end + 2, peer: None }));
    }
    let mut word = || words.next().ok_or(ProxyError::Malformed);
    let (source, _destination, port, _destination_port) = (word()?, word()?, word()?, word()?);
    let address: IpAddr = match family {
        "TCP4" => source.parse::<Ipv4Addr>().map_err(|_| ProxyError::Malformed)?.into(),
        "TCP6" => source.parse::<Ipv6Addr>().map_err(|_| ProxyError::Malformed)?.into(),
        _ => return Err(ProxyError::Malformed),
    };
    let port = port.parse::<u16>().map_err(|_| ProxyError::Malformed)?;
    Ok(Some(Header { len: end + 2, peer: Some(SocketAddr::new(address, port)) }))
}

fn parse_v2(bytes: &[u8]) -> Result<Option<Header>, ProxyError> {
    let Some(fixed) = bytes.get(..16) else { return Ok(None) };
    let (version, command, family) = (fixed[12] >> 4, fixed[12] & 0xF, fixed[13]);
    if version != 2 || command > 1 {
        return Err(ProxyError::Malformed);
    }
    let len = 16 + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if len > V2_BYTES_MAX {
        return Err(ProxyError::TooLong);
    }
    let Some(header) = bytes.get(..len) else { return Ok(None) };
    let body = &header[16..];
    let port = |at: usize| body.get(at..at + 2).map(|port| u16::from_be_bytes([port[0], port[1]]));
    let peer = match (command, family) {
        (1, 0x11) => {
            let source: [u8; 4] = body.get(..4).and_then(|a| a.try_into().ok()).ok_or(ProxyError::Malformed)?;
            Some(SocketAddr::new(source.into(), port(8).ok_or(ProxyError::Malformed)?))
        }
        (1, 0x21) => {
            let source: [u8; 16] = body.get(..16).and_then(|a| a.try_into().ok()).ok_or(ProxyError::Malformed)?;
            Some(SocketAddr::new(source.into(), port(32).ok_or(ProxyError::Malformed)?))
        }
        _ => None,
    };
    Ok(Some(Header { len, peer }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_names_the_peer_at_any_split() {
        let line = b"PROXY TCP4 192.0.2.7 10.0.0.1 51000 1883\r\n\x10\x00";
        for cut in 0..line.len() - 3 {
            assert_eq!(parse(&line[..cut]), Ok(None), "{cut} bytes");
        }
        let header = parse(line).expect("well-formed").expect("whole");
        assert_eq!(header, Header { len: 42, peer: Some("192.0.2.7:51000".parse().expect("an address")) });
        let unknown = parse(b"PROXY UNKNOWN\r\n");
        assert_eq!(unknown, Ok(Some(Header { len: 15, peer: None })));
    }

    #[test]
    fn version_2_names_the_peer_and_skips_what_follows() {
        let mut bytes = V2_SIGNATURE.to_vec();
        bytes.extend([0x21, 0x21, 0, 39]);
        bytes.extend(Ipv6Addr::LOCALHOST.octets());
        bytes.extend(Ipv6Addr::LOCALHOST.octets());
        bytes.extend([0x12, 0x34, 0x07, 0x5B]);
        bytes.extend([0x04, 0x00, 0x00]);
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut]), Ok(None), "{cut} bytes");
        }
        let peer = parse(&bytes).expect("well-formed").expect("whole").peer;
        assert_eq!(peer, Some("[::1]:4660".parse().expect("an address")));
    }

    #[test]
    fn anything_else_is_refused() {
        assert_eq!(parse(b"\x10\x10"), Err(ProxyError::Absent));
        assert_eq!(parse(b"PROXY TCP4 1.2.3.4.5 1.1.1.1 1 1\r\n"), Err(ProxyError::Malformed));
        assert_eq!(parse(&[b"PROXY ".as_slice(), &[b'x'; 200]].concat()), Err(ProxyError::Malformed));
        let mut long = V2_SIGNATURE.to_vec();
        long.extend([0x21, 0x11, 0xFF, 0xFF]);
        assert_eq!(parse(&long), Err(ProxyError::TooLong));
    }
}
