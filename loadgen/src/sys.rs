//! System calls that the standard library does not have: clocks, limits, sockets with a chosen source.
#![allow(unsafe_code, reason = "each call is wrapped once, with the reason why it is sound")]

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicI64, Ordering};

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn clock(id: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer.
    let result = unsafe { libc::clock_gettime(id, &raw mut time) };
    assert!(result == 0, "both clocks exist on every Linux");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// What is added to the clock of this machine, so that all machines of a run have the same.
static CLOCK_OFFSET: AtomicI64 = AtomicI64::new(0);

/// Nanoseconds of the clock that all workers share.
pub(crate) fn now() -> u64 {
    own_now().wrapping_add_signed(CLOCK_OFFSET.load(Ordering::Relaxed))
}

/// Nanoseconds of this machine's own clock.
pub(crate) fn own_now() -> u64 {
    clock(libc::CLOCK_MONOTONIC)
}

/// Sets the clock by another's. Nothing may be under way.
pub(crate) fn set_clock(offset: i64) {
    CLOCK_OFFSET.store(offset, Ordering::Relaxed);
}

/// Nanoseconds since 1970.
pub(crate) fn wall_clock() -> u64 {
    clock(libc::CLOCK_REALTIME)
}

/// Nanoseconds that this thread has spent on a processor.
pub(crate) fn thread_cpu() -> u64 {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Asks for timers that are as exact as the kernel can; the default may be 50 us late.
pub(crate) fn sharpen_timers() {
    // SAFETY: the option takes a number.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64) };
}

/// Processors that this process may use.
pub(crate) fn allowed_cpus() -> usize {
    // SAFETY: a set of processors is plain data, for which zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the place is as large as said.
    let result = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    // SAFETY: the set is valid.
    let count = if result == 0 { unsafe { libc::CPU_COUNT(&set) } } else { 1 };
    usize::try_from(count).unwrap_or(1).max(1)
}

/// Raises the soft limit of open files to the hard one; says what holds now. It also bounds each descriptor table.
pub(crate) fn raise_file_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid place for the answer.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    assert!(result == 0, "this limit exists");
    let wanted = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    // SAFETY: a valid limit.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) } == 0 {
        limit.rlim_max
    } else {
        limit.rlim_cur
    }
}

/// Bytes of a page of memory.
pub(crate) fn page_size() -> usize {
    // SAFETY: no pointers.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).expect("every host has pages")
}

/// A socket address as the kernel reads it.
pub(crate) struct Address {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl Address {
    pub(crate) fn new(address: SocketAddr) -> Self {
        // SAFETY: a socket address is plain data, for which zero is a valid value.
        let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
        let length = match address {
            SocketAddr::V4(v4) => {
                let plain = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                };
                // SAFETY: the storage is larger than, and aligned for, every kind of socket address.
                unsafe { (&raw mut storage).cast::<libc::sockaddr_in>().write(plain) };
                size_of::<libc::sockaddr_in>()
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
                unsafe { (&raw mut storage).cast::<libc::sockaddr_in6>().write(plain) };
                size_of::<libc::sockaddr_in6>()
            }
        };
        Self { storage, length: length as libc::socklen_t }
    }

    pub(crate) const fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    pub(crate) const fn len(&self) -> libc::socklen_t {
        self.length
    }
}

/// A TCP socket that will connect to `target`, from `source` if one is given. Its port is chosen by connect, so that
/// the same port serves several targets.
pub(crate) fn socket(target: SocketAddr, source: Option<IpAddr>) -> io::Result<OwnedFd> {
    let family = if target.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: no pointers; the result is checked.
    let fd = check(unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: just opened, and owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    set(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    if let Some(source) = source {
        set(&socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
        let place = Address::new(SocketAddr::new(source, 0));
        // SAFETY: the address is valid for the length that goes with it.
        check(unsafe { libc::bind(socket.as_raw_fd(), place.as_ptr(), place.len()) })?;
    }
    Ok(socket)
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
