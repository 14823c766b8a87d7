//! What tests do to a process: refuse it io_uring as container runtimes do, tie its life to ours, signal it, reset its sockets.
#![allow(unsafe_code, reason = "prctl and pre_exec have no safe form in the standard library")]

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The three calls of io_uring; the same numbers on every architecture.
const SYS_IO_URING_SETUP: u32 = 425;
const SYS_IO_URING_REGISTER: u32 = 427;

/// From now on the child of `command` and all of its children get EPERM from every io_uring call.
pub fn refuse_io_uring(command: &mut Command) {
    const fn instruction(code: u32, yes: u8, no: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter {
            #[allow(clippy::cast_possible_truncation, reason = "opcodes have 16 bits")]
            code: code as u16,
            jt: yes,
            jf: no,
            k,
        }
    }
    const FILTER: [libc::sock_filter; 5] = [
        // The number of the call is the first word of the data.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, SYS_IO_URING_SETUP),
        instruction(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, 0, 1, SYS_IO_URING_REGISTER),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
    ];
    let install = || {
        let mut filter = FILTER;
        let program = libc::sock_fprog { len: 5, filter: filter.as_mut_ptr() };
        // SAFETY: prctl reads the program, which outlives the call; nothing else is touched.
        let done = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
        };
        if done { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: the closure runs between fork and exec and calls only prctl, which is async-signal-safe.
    unsafe { command.pre_exec(install) };
}

/// From now on the child of `command` is killed when the thread that started it ends.
pub fn die_with_parent(command: &mut Command) {
    let ask = || {
        // SAFETY: prctl with these arguments touches no memory.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) } == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    // SAFETY: the closure runs between fork and exec and calls only prctl, which is async-signal-safe.
    unsafe { command.pre_exec(ask) };
}

/// Sends `signal` to a process.
///
/// # Errors
/// When there is no such process or it may not be signalled.
pub fn signal(pid: u32, signal: i32) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: kill touches no memory.
    if unsafe { libc::kill(pid, signal) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// When this socket closes, the peer gets a reset.
///
/// # Errors
/// When the socket takes no such option.
pub fn reset_on_close(socket: &impl AsRawFd) -> io::Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let length = libc::socklen_t::try_from(size_of::<libc::linger>()).map_err(io::Error::other)?;
    // SAFETY: the kernel reads `length` bytes of a value that outlives the call.
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), length)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// From now on the child of `command` may hold at most so many descriptors.
pub fn limit_descriptors(command: &mut Command, most: u32) {
    let limit = libc::rlimit { rlim_cur: most.into(), rlim_max: most.into() };
    let lower = move || {
        // SAFETY: the kernel reads a value that outlives the call.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    // SAFETY: the closure runs between fork and exec and calls only setrlimit, which is async-signal-safe.
    unsafe { command.pre_exec(lower) };
}

/// When this socket closes, the peer hears nothing, as if the machine behind it had lost its power. Takes a right that
/// not everybody has (`CAP_NET_ADMIN`).
///
/// # Errors
/// When that right is missing.
pub fn silent_on_close(socket: &impl AsRawFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).map_err(io::Error::other)?;
    // What has come is acknowledged before, or the peer sends it again and learns from the answer.
    for option in [libc::TCP_QUICKACK, libc::TCP_REPAIR] {
        // SAFETY: the kernel reads `length` bytes of a value that outlives the call.
        let done =
            unsafe { libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, option, (&raw const on).cast(), length) };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
