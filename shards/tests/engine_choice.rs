//! Which engine is taken where the kernel refuses `io_uring`: a filter as containers have it, on one thread.
#![allow(unsafe_code, reason = "a seccomp filter is set by a system call that the standard library does not have")]

mod common;

use std::sync::Arc;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::{Relay, settings};
use millrace_shards::berths::Berths;
use millrace_shards::config::EngineChoice;
use millrace_shards::runtime::{self, EngineUsed, StartError};

/// Lets `io_uring_setup` fail on this thread and all that it starts.
fn refuse_io_uring(errno: i32) {
    let code = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut filter = [
        code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_io_uring_setup as u32),
        code(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        code(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program is valid for the call, which copies it; it only changes what this thread may call.
    let result = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            | libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    assert_eq!(result, 0, "this host has seccomp");
}

fn relays() -> Vec<impl FnOnce() -> Relay + Send> {
    // Nothing is handed over here.
    (0..2).map(|me| move || Relay::new(me, 2, Arc::new(Berths::new(2)))).collect()
}

fn on_a_thread_that_is_refused<T: Send + 'static>(errno: i32, then: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(move || {
        refuse_io_uring(errno);
        then()
    })
    .join()
    .expect("it does not fail")
}

#[test]
fn auto_takes_epoll_where_io_uring_is_refused_and_says_why() {
    for (errno, name) in [(libc::EPERM, "EPERM"), (libc::ENOSYS, "ENOSYS")] {
        on_a_thread_that_is_refused(errno, move || {
            let runtime = runtime::start(&settings(EngineChoice::Auto, None), relays()).expect("epoll works");
            assert_eq!(runtime.engine(), EngineUsed::Epoll);
            assert!(runtime.fallback().is_some_and(|reason| reason.contains(name)), "{:?}", runtime.fallback());
            let mut client = TcpStream::connect(runtime.addresses()[0].1).expect("it listens");
            client.write_all(b"Ehello").expect("open");
            let mut answer = [0; 5];
            client.read_exact(&mut answer).expect("an echo");
            runtime.stop();
            runtime.join();
        });
    }
}

#[test]
fn io_uring_that_is_wanted_and_refused_is_an_error_with_its_remedy() {
    let error = on_a_thread_that_is_refused(libc::EPERM, || {
        runtime::start(&settings(EngineChoice::IoUring, None), relays()).err().expect("it is refused")
    });
    assert_eq!(error.to_string(), "the kernel refuses io_uring_setup (EPERM)");
    assert_eq!(error.code(), "H0003");
    assert!(!error.remedy().is_empty());
}

#[test]
fn want_of_memory_or_descriptors_is_told_and_no_reason_for_epoll() {
    for errno in [libc::ENOMEM, libc::EMFILE] {
        let error = on_a_thread_that_is_refused(errno, || {
            runtime::start(&settings(EngineChoice::Auto, None), relays()).err().expect("nothing is started")
        });
        assert!(matches!(error, StartError::IoUringFailed { .. }), "{error}");
    }
}
