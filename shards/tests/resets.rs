//! Connections that break at any point leave no connection, slot or descriptor behind. A program of its own, as it
//! counts the descriptors of the whole process.

mod common;

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use common::{ENGINES, Shards, wait_for};

/// Executors that this test starts; each leaves the descriptor of its sleep notifier behind when it ends.
const EXECUTORS: usize = 1 + 3;

#[test]
fn resets_at_any_point_leave_nothing_behind() {
    let before = descriptors();
    for engine in ENGINES {
        for shards in [1, 3] {
            let relays = Shards::with(engine, shards, Some(4096));
            let mut seed = 12_345_u64;
            let mut random = |below: u64| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 33) % below
            };
            for _ in 0..300 {
                let mut client = relays.connect();
                let job: &[u8] = match random(7) {
                    0 => b"",
                    1 => b"Ehello",
                    2 => b"B00300000",
                    3 => b"Lbye",
                    4 => b"Fhello",
                    5 => b"H1hello",
                    _ => b"H0hello",
                };
                client.write_all(job).expect("open");
                if random(2) == 0 {
                    std::thread::sleep(Duration::from_micros(random(2000)));
                }
                if random(2) == 0 {
                    let _ = client.write_all(&[b'E'; 300]);
                }
                if random(3) == 0 {
                    let _ = client.shutdown(Shutdown::Write);
                }
                reset(client, random(2) == 0);
            }
            relays.wait_until_empty();
            relays.end();
        }
    }
    let kept = before + EXECUTORS;
    wait_for("the descriptors are back", || descriptors() <= kept);
}

/// Closes with a reset, or in order.
fn reset(client: std::net::TcpStream, hard: bool) {
    use std::os::fd::AsRawFd;
    if hard {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        // SAFETY: the option is of this type and size, and the socket is open.
        #[allow(unsafe_code, reason = "the standard library cannot ask for a reset")]
        unsafe {
            libc::setsockopt(
                client.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                size_of::<libc::linger>() as libc::socklen_t,
            );
        }
    }
    drop(client);
}

/// Descriptors that this process has open.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
