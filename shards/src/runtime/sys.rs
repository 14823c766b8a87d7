//! The few system calls that the standard library does not have.
#![allow(unsafe_code, reason = "each function is one call into libc")]

use std::fs;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use millrace_core::time::{Millis, Time};

use crate::send_buffer::SendBuffer;

/// Connections that wait to be accepted, for each listener and shard; the kernel cuts it to `somaxconn`.
pub(crate) const BACKLOG: i32 = 4096;

/// How long what was sent may lie with a peer that does not take it before the kernel gives the connection up. Like the
/// other options of a listener, its connections inherit it. A live peer that reads nothing for so long is cut off too:
/// five minutes leave room for one that was stopped for a while.
const UNACKED_MAX_MS: i32 = 300_000;

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Both clocks: one that runs while the host sleeps, and the wall.
pub(crate) fn now() -> Time {
    Time { monotonic: clock(libc::CLOCK_BOOTTIME), unix: clock(libc::CLOCK_REALTIME) }
}

fn clock(id: libc::clockid_t) -> Millis {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer.
    let result = unsafe { libc::clock_gettime(id, &raw mut time) };
    assert!(result == 0, "both clocks exist since Linux 2.6.39");
    Millis((time.tv_sec as u64) * 1000 + (time.tv_nsec as u64) / 1_000_000)
}

/// Where the kernel writes the address of a peer.
pub(crate) struct Address {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl Default for Address {
    fn default() -> Self {
        Self {
            // SAFETY: a socket address is plain data, for which zero is a valid value.
            storage: unsafe { mem::zeroed() },
            length: 0,
        }
    }
}

impl Address {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let mut place = Self::default();
        match address {
            SocketAddr::V4(v4) => {
                let plain = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                };
                // SAFETY: the storage is larger than, and aligned for, every kind of socket address.
                unsafe { (&raw mut place.storage).cast::<libc::sockaddr_in>().write(plain) };
                place.length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            }
            SocketAddr::V6(v6) => {
                let plain = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                // SAFETY: as above.
                unsafe { (&raw mut place.storage).cast::<libc::sockaddr_in6>().write(plain) };
                place.length = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            }
        }
        place
    }

    /// The whole place, for the kernel to write into.
    pub(crate) fn space(&mut self) -> (*mut libc::sockaddr, *mut libc::socklen_t) {
        self.length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        ((&raw mut self.storage).cast(), &raw mut self.length)
    }

    /// The address in it; one of IPv4 that came over an IPv6 socket as such.
    pub(crate) fn get(&self) -> Option<SocketAddr> {
        let address = match i32::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says what the storage holds, and it is large and aligned enough.
                let plain = unsafe { (&raw const self.storage).cast::<libc::sockaddr_in>().read() };
                SocketAddr::V4(SocketAddrV4::new(
                    plain.sin_addr.s_addr.to_ne_bytes().into(),
                    u16::from_be(plain.sin_port),
                ))
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let plain = unsafe { (&raw const self.storage).cast::<libc::sockaddr_in6>().read() };
                SocketAddr::V6(SocketAddrV6::new(
                    Ipv6Addr::from(plain.sin6_addr.s6_addr),
                    u16::from_be(plain.sin6_port),
                    plain.sin6_flowinfo,
                    plain.sin6_scope_id,
                ))
            }
            _ => return None,
        };
        Some(match address.ip().to_canonical() {
            IpAddr::V4(v4) => SocketAddr::from((v4, address.port())),
            IpAddr::V6(_) => address,
        })
    }
}

/// A TCP socket bound to `address`. With `shared` several may be bound to one port; `send_buffer` bounds what the
/// kernel keeps for a slow peer.
pub(crate) fn bind(address: SocketAddr, shared: bool, send_buffer: Option<i32>) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => libc::AF_INET,
        SocketAddr::V6(_) => libc::AF_INET6,
    };
    // SAFETY: no pointers; the result is checked.
    let fd = check(unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: just opened, and owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    set(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    if shared {
        set(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    }
    if let Some(bytes) = send_buffer {
        set(&socket, libc::SOL_SOCKET, libc::SO_SNDBUF, bytes)?;
    }
    set(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    set(&socket, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, UNACKED_MAX_MS)?;
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        // `::` takes IPv4 as well where the host allows it.
        let _ = set(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0);
    }
    let place = Address::new(address);
    // SAFETY: the address is valid for the length that goes with it.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const place.storage).cast(), place.length) })?;
    Ok(socket)
}

pub(crate) fn listen(socket: &OwnedFd) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::listen(socket.as_raw_fd(), BACKLOG) }).map(drop)
}

pub(crate) fn local_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    let mut place = Address::default();
    let (address, length) = place.space();
    // SAFETY: both point into `place`, whose length says how much room there is.
    check(unsafe { libc::getsockname(socket.as_raw_fd(), address, length) })?;
    place.get().ok_or_else(|| io::Error::from_raw_os_error(libc::EAFNOSUPPORT))
}

fn set(socket: &OwnedFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the option is an int, and its length is given.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// One connection that waits, not blocking.
pub(crate) fn accept(socket: &OwnedFd) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
    let mut place = Address::default();
    let (address, length) = place.space();
    // SAFETY: both point into `place`, whose length says how much room there is.
    let fd =
        check(unsafe { libc::accept4(socket.as_raw_fd(), address, length, libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) })?;
    // SAFETY: just opened, and owned by nobody else.
    Ok((unsafe { OwnedFd::from_raw_fd(fd) }, place.get()))
}

pub(crate) fn set_nonblocking(socket: &OwnedFd) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) }).map(drop)
}

pub(crate) fn receive(socket: &OwnedFd, space: &mut [u8]) -> io::Result<usize> {
    // SAFETY: pointer and length are those of the slice.
    let received =
        unsafe { libc::recv(socket.as_raw_fd(), space.as_mut_ptr().cast(), space.len(), libc::MSG_DONTWAIT) };
    usize::try_from(received).map_err(|_| io::Error::last_os_error())
}

/// Sends what follows the first `skip` bytes of the output, as far as the socket has room; `slices` is scratch.
pub(crate) fn send(
    socket: &OwnedFd,
    output: &SendBuffer,
    skip: usize,
    slices: &mut Vec<libc::iovec>,
) -> io::Result<usize> {
    let header = gather(output, skip, slices);
    // SAFETY: the header points to slices of the output, which is borrowed.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// The header of a gathered send of what follows the first `skip` bytes. It points into `slices`, and these into the
/// output.
pub(crate) fn gather(output: &SendBuffer, skip: usize, slices: &mut Vec<libc::iovec>) -> libc::msghdr {
    slices.clear();
    slices.extend(
        output
            .slices(skip)
            .map(|slice| libc::iovec { iov_base: slice.as_ptr().cast_mut().cast(), iov_len: slice.len() }),
    );
    let mut header = no_header();
    header.msg_iov = slices.as_mut_ptr();
    header.msg_iovlen = slices.len();
    header
}

/// A header of nothing.
pub(crate) fn no_header() -> libc::msghdr {
    // SAFETY: all zeros is a header without an address, slices and control data.
    unsafe { mem::zeroed() }
}

pub(crate) fn shutdown_write(socket: &OwnedFd) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR) }).map(drop)
}

/// A counter to wake somebody with; reading blocks while it is zero.
pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the result is checked.
    let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) })?;
    // SAFETY: just opened, and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Adds one to an eventfd.
pub(crate) fn ring(eventfd: &OwnedFd) {
    let one = 1_u64;
    // SAFETY: eight valid bytes.
    let _ = unsafe { libc::write(eventfd.as_raw_fd(), (&raw const one).cast(), 8) };
}

/// Sets an eventfd that is not zero back to zero.
pub(crate) fn unring(eventfd: &OwnedFd) {
    let mut count = 0_u64;
    // SAFETY: room for eight bytes.
    let _ = unsafe { libc::read(eventfd.as_raw_fd(), (&raw mut count).cast(), 8) };
}

/// Another descriptor of the same open file.
pub(crate) fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the result is checked.
    let fd = check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: just opened, and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An instance of epoll.
pub(crate) fn epoll() -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the result is checked.
    let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    // SAFETY: just opened, and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `epoll_ctl`.
pub(crate) fn epoll_set(epoll: &OwnedFd, operation: i32, fd: RawFd, events: i32, data: u64) -> io::Result<()> {
    let mut event = libc::epoll_event { events: events as u32, u64: data };
    // SAFETY: `event` is valid for the call.
    check(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), operation, fd, &raw mut event) }).map(drop)
}

/// `epoll_wait`; says how many entries of `events` are filled.
pub(crate) fn epoll_wait(epoll: &OwnedFd, events: &mut [libc::epoll_event], timeout_ms: i32) -> io::Result<usize> {
    // SAFETY: pointer and length are those of the slice.
    let ready = check(unsafe {
        libc::epoll_wait(
            epoll.as_raw_fd(),
            events.as_mut_ptr(),
            i32::try_from(events.len()).unwrap_or(i32::MAX),
            timeout_ms,
        )
    })?;
    Ok(usize::try_from(ready).expect("checked"))
}

/// The processors that this process may use.
pub(crate) fn allowed_cpus() -> Vec<usize> {
    // SAFETY: a set of processors is plain data, for which zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the place is as large as said.
    let result = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    let cpus: Vec<usize> = (0..libc::CPU_SETSIZE as usize)
        // SAFETY: the index is under CPU_SETSIZE.
        .filter(|cpu| result == 0 && unsafe { libc::CPU_ISSET(*cpu, &set) })
        .collect();
    if cpus.is_empty() { vec![0] } else { cpus }
}

/// Ties this thread to one processor.
pub(crate) fn pin(cpu: usize) -> io::Result<()> {
    // SAFETY: as in `allowed_cpus`.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the index came from the same kind of set.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the set is as large as said.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) }).map(drop)
}

/// Bytes of a page of memory.
pub(crate) fn page_size() -> usize {
    // SAFETY: no pointers.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).expect("every host has pages")
}

/// Soft and hard limit of open files.
pub(crate) fn file_limits() -> (u64, u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid place for the answer.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    assert!(result == 0, "this limit exists");
    (limit.rlim_cur, limit.rlim_max)
}

/// Raises the soft limit of open files to the hard one; says what holds now.
pub(crate) fn raise_file_limit() -> u64 {
    let (soft, hard) = file_limits();
    let limit = libc::rlimit { rlim_cur: hard, rlim_max: hard };
    // SAFETY: a valid limit.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } == 0 { hard } else { soft }
}

/// Major and minor version of the kernel.
pub(crate) fn kernel_version() -> (u32, u32) {
    let release = kernel_release();
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// The kernel's own name for its version.
pub(crate) fn kernel_release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way_through_the_kernel_form() {
        for address in ["127.0.0.1:1883", "[2001:db8::1]:8883", "0.0.0.0:0"] {
            let address: SocketAddr = address.parse().expect("an address");
            assert_eq!(Address::new(address).get(), Some(address));
        }
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:5".parse().expect("an address");
        assert_eq!(Address::new(mapped).get(), "10.0.0.1:5".parse().ok());
    }

    #[test]
    fn the_kernel_has_a_version_and_a_processor() {
        assert!(kernel_version().0 >= 4);
        assert!(!allowed_cpus().is_empty());
    }

    #[test]
    fn an_accepted_socket_inherits_how_long_bytes_may_lie_unacknowledged() {
        let listener = bind("127.0.0.1:0".parse().expect("an address"), false, None).expect("a free port");
        listen(&listener).expect("bound");
        let client = std::net::TcpStream::connect(local_address(&listener).expect("bound")).expect("it listens");
        let (socket, _) = accept(&listener).expect("one waits");
        let (mut value, mut length) = (0_i32, size_of::<i32>() as libc::socklen_t);
        // SAFETY: the option is an int, and there is room for one.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_USER_TIMEOUT,
                (&raw mut value).cast(),
                &raw mut length,
            )
        };
        assert_eq!((result, value), (0, UNACKED_MAX_MS));
        drop(client);
    }
}
