//! Binds listeners, one socket a shard, and finds out who holds a port that is taken.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::{ListenerSettings, StartError, sys};

/// How long a port that no process holds may stay taken.
const ORPHAN_MAX: Duration = Duration::from_secs(3);
/// How often it is tried.
const ORPHAN_LOOK_EVERY: Duration = Duration::from_millis(20);

/// One listener's sockets, a shard each, and the address they are bound to.
pub(crate) struct Bound {
    pub(crate) address: SocketAddr,
    pub(crate) sockets: Vec<OwnedFd>,
}

/// Binds a socket for each shard. The first one alone, without sharing the port, so that another program that shares
/// its port is noticed rather than joined.
pub(crate) fn bind(settings: &ListenerSettings, shards: u16) -> Result<Bound, StartError> {
    let failed = |source: io::Error, address: SocketAddr| failure(settings, address, source);
    let mut address = settings.address;
    if address.port() != 0 {
        wait_until_free(address).map_err(|error| failed(error, address))?;
    }
    let mut sockets = Vec::with_capacity(usize::from(shards));
    for _ in 0..shards {
        let socket = sys::bind(address, true, settings.send_buffer).map_err(|error| failed(error, address))?;
        address = sys::local_address(&socket).map_err(|error| failed(error, address))?;
        sockets.push(socket);
    }
    Ok(Bound { address, sockets })
}

/// Tries an address alone. The sockets of a process that has just ended may be open for a moment longer, as the kernel
/// takes rings down behind its back: so a port that nobody holds is tried again for a while.
fn wait_until_free(address: SocketAddr) -> io::Result<()> {
    let start = Instant::now();
    loop {
        match sys::bind(address, false, None) {
            Ok(alone) => {
                drop(alone);
                return Ok(());
            }
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse
                    && start.elapsed() < ORPHAN_MAX
                    && holder(address.port()).is_none() =>
            {
                thread::sleep(ORPHAN_LOOK_EVERY);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Opens all sockets of a listener for connections: from here on they wait to be accepted.
pub(crate) fn listen(settings: &ListenerSettings, bound: &Bound) -> Result<(), StartError> {
    for socket in &bound.sockets {
        sys::listen(socket).map_err(|error| failure(settings, bound.address, error))?;
    }
    Ok(())
}

fn failure(settings: &ListenerSettings, address: SocketAddr, source: io::Error) -> StartError {
    let listener = settings.name.clone();
    if source.kind() == io::ErrorKind::AddrInUse {
        StartError::PortInUse { listener, address, holder: holder(address.port()) }
    } else {
        StartError::Bind { listener, address, source }
    }
}

/// Name and pid of the process that listens on a TCP port, if this process may see it.
fn holder(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| listening_inode(&table, port))?;
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let pid = process.file_name().to_string_lossy().into_owned();
        if !pid.bytes().all(|letter| letter.is_ascii_digit()) {
            continue;
        }
        if holds(&process.path().join("fd"), &wanted) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{}, pid {pid}", name.trim()));
        }
    }
    None
}

fn holds(descriptors: &Path, wanted: &str) -> bool {
    fs::read_dir(descriptors).is_ok_and(|entries| {
        entries.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == wanted))
    })
}

/// The inode of the socket in state LISTEN on a port, from the text of `/proc/net/tcp`.
fn listening_inode(table: &str, port: u16) -> Option<u64> {
    let wanted = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (local, state) = (fields.get(1)?, fields.get(3)?);
        if local.ends_with(&wanted) && *state == "0A" { fields.get(9)?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn settings(address: SocketAddr) -> ListenerSettings {
        ListenerSettings { id: crate::shard::io::ListenerId(0), name: "default".into(), address, send_buffer: None }
    }

    #[test]
    fn a_taken_port_is_refused_with_the_name_of_who_holds_it() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("bound");
        let Err(error) = bind(&settings(address), 2) else {
            panic!("the port is taken");
        };
        let text = error.to_string();
        assert!(text.contains("(listeners.default) is in use by"), "{text}");
        assert!(text.contains(&format!("pid {}", std::process::id())), "{text}");
    }

    #[test]
    fn another_broker_that_shares_its_port_is_noticed() {
        let first = bind(&settings("127.0.0.1:0".parse().expect("an address")), 1).expect("free");
        sys::listen(&first.sockets[0]).expect("bound");
        assert!(bind(&settings(first.address), 1).is_err());
    }

    #[test]
    fn all_shards_share_the_port_that_the_first_one_got() {
        let bound = bind(&settings("127.0.0.1:0".parse().expect("an address")), 3).expect("free");
        assert_ne!(bound.address.port(), 0);
        for socket in &bound.sockets {
            assert_eq!(sys::local_address(socket).expect("bound"), bound.address);
        }
    }
}
