//! Where connections go to and come from: hosts by name, source addresses as lists of ranges.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};

use crate::options::ConnectOptions;

/// Source addresses that a list may name.
const SOURCES_MAX: u32 = 1 << 16;

/// The brokers.
pub(crate) fn targets(options: &ConnectOptions) -> Result<Vec<SocketAddr>, String> {
    let mut targets = Vec::new();
    for host in options.host.split(',').map(str::trim).filter(|host| !host.is_empty()) {
        let mut found = (host, options.port).to_socket_addrs().map_err(|error| format!("--host {host}: {error}"))?;
        targets.push(found.next().ok_or_else(|| format!("--host {host}: no address has this name"))?);
    }
    if targets.is_empty() {
        return Err("--host names no broker".to_owned());
    }
    Ok(targets)
}

/// `127.0.0.2-127.0.0.6,10.0.0.9`: addresses and ranges of them.
pub(crate) fn sources(list: &str) -> Result<Vec<IpAddr>, String> {
    let mut sources = Vec::new();
    for item in list.split(',').map(str::trim) {
        let wrong = || format!("--ifaddr {item:?} is neither an address nor a range such as 127.0.0.2-127.0.0.6");
        match item.split_once('-') {
            None => sources.push(item.parse().map_err(|_| wrong())?),
            Some((first, last)) => {
                let first: Ipv4Addr = first.parse().map_err(|_| wrong())?;
                let last: Ipv4Addr = last.parse().map_err(|_| wrong())?;
                let (first, last) = (u32::from(first), u32::from(last));
                if first > last || last - first >= SOURCES_MAX {
                    return Err(wrong());
                }
                sources.extend((first..=last).map(|address| IpAddr::V4(address.into())));
            }
        }
    }
    let mut seen = HashSet::new();
    sources.retain(|source| seen.insert(*source));
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_addresses_are_lists_of_ranges() {
        let list = sources("127.0.0.2-127.0.0.4, 10.0.0.9,127.0.0.3").expect("legal");
        let shown: Vec<String> = list.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["127.0.0.2", "127.0.0.3", "127.0.0.4", "10.0.0.9"]);
    }
}
