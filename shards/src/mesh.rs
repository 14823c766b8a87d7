//! A ring for each ordered pair of shards; one flush and one wake for each destination a turn.
//!
//! Runs on: each [`Endpoint`] on its shard's thread.
//! Invariants: entries of one pair keep their order, also those that wait for room; an entry is published before the
//! destination's `mail` bit is set, and that bit before its sleep flag is looked at, while a shard raises its flag
//! before it looks at its bits: so one of the two always sees the other.
//! Not here: how a shard is woken (the engine), what an entry means (the reactor).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use millrace_core::ring::{Consumer, Producer, Sleeper, ring_for};

use crate::shard::io::ShardId;

/// Entries that all rings towards one shard hold together, spread over its peers.
const ENTRIES_TOWARDS_A_SHARD: usize = 16_384;
/// Entries of one ring at least.
const RING_ENTRIES_MIN: usize = 64;

/// The endpoints of a mesh of `shards` shards, in order.
#[must_use]
pub fn mesh<T>(shards: u16) -> Vec<Endpoint<T>> {
    let entries = (ENTRIES_TOWARDS_A_SHARD / usize::from(shards.max(1))).max(RING_ENTRIES_MIN);
    mesh_with(shards, entries)
}

/// As [`mesh`], with rings of `entries` entries, rounded up to a power of two.
#[must_use]
pub fn mesh_with<T>(shards: u16, entries: usize) -> Vec<Endpoint<T>> {
    let desks: Arc<[Desk]> = (0..shards).map(|_| Desk::new(shards)).collect();
    let mut endpoints: Vec<Endpoint<T>> = (0..shards)
        .map(|me| Endpoint {
            me,
            desks: Arc::clone(&desks),
            to: Vec::with_capacity(usize::from(shards)),
            from: Vec::with_capacity(usize::from(shards)),
            touched: Vec::new(),
            waiting: 0,
            own: VecDeque::new(),
            reading: None,
            unread: vec![0; words(shards)],
        })
        .collect();
    for to in 0..usize::from(shards) {
        for from in 0..usize::from(shards) {
            let (outgoing, incoming) = if from == to {
                (None, None)
            } else {
                let (producer, consumer) = ring_for(entries, &desks[to].sleeper);
                (Some(Outgoing::new(producer)), Some(consumer))
            };
            endpoints[from].to.push(outgoing);
            endpoints[to].from.push(incoming);
        }
    }
    endpoints
}

/// One shard's ends of the rings.
pub struct Endpoint<T> {
    me: u16,
    desks: Arc<[Desk]>,
    /// By destination; none for this shard itself.
    to: Vec<Option<Outgoing<T>>>,
    /// By source; none for this shard itself.
    from: Vec<Option<Consumer<T>>>,
    /// Destinations that got something since the last flush.
    touched: Vec<u16>,
    /// Entries that wait for room, for all destinations.
    waiting: usize,
    /// Entries to this shard itself.
    own: VecDeque<T>,
    /// The source being read, and how many of its entries are still due in this turn.
    reading: Option<(u16, usize)>,
    /// Sources that have something, taken from the desk.
    unread: Vec<u64>,
}

struct Outgoing<T> {
    producer: Producer<T>,
    /// What did not fit, in order.
    overflow: VecDeque<T>,
    touched: bool,
}

/// What others leave for a shard to see.
struct Desk {
    sleeper: Sleeper,
    /// Sources with news, a bit each.
    mail: Box<[AtomicU64]>,
    /// Sources that wait for room in their ring to this shard.
    room: Box<[AtomicU64]>,
}

impl<T> Endpoint<T> {
    /// Number of shards.
    #[must_use]
    pub fn shards(&self) -> u16 {
        u16::try_from(self.to.len()).expect("made from a u16")
    }

    /// Puts an entry into the ring to a shard; what does not fit waits in order. False while anything waits.
    pub fn push(&mut self, to: ShardId, entry: T) -> bool {
        let Some(outgoing) = &mut self.to[usize::from(to.0)] else {
            self.own.push_back(entry);
            return self.waiting == 0;
        };
        if !outgoing.touched {
            outgoing.touched = true;
            self.touched.push(to.0);
        }
        if outgoing.overflow.is_empty() {
            if let Err(entry) = outgoing.producer.try_push(entry) {
                outgoing.overflow.push_back(entry);
                self.waiting += 1;
            }
        } else {
            outgoing.overflow.push_back(entry);
            self.waiting += 1;
        }
        self.waiting == 0
    }

    /// Entries that wait for room.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Publishes what was pushed and calls `wake` for each shard that sleeps and must be woken.
    pub fn flush(&mut self, mut wake: impl FnMut(ShardId)) {
        let mut index = 0;
        while let Some(&to) = self.touched.get(index) {
            let outgoing = self.to[usize::from(to)].as_mut().expect("only other shards are touched");
            let desk = &self.desks[usize::from(to)];
            let mut asked = false;
            loop {
                self.waiting -= outgoing.refill();
                if outgoing.producer.release() {
                    set(&desk.mail, self.me);
                    if desk.sleeper.must_wake() {
                        wake(ShardId(to));
                    }
                }
                if outgoing.overflow.is_empty() || asked {
                    break;
                }
                // Ask for a wake when there is room, then look once more: it may have come in between.
                set(&desk.room, self.me);
                asked = true;
            }
            if outgoing.overflow.is_empty() {
                outgoing.touched = false;
                self.touched.swap_remove(index);
            } else {
                index += 1;
            }
        }
    }

    /// Begins reading: what came until now is due, later entries are for the next turn. If reading stopped before all
    /// was read, it goes on, and nobody new is read before everybody has been.
    pub fn open_mail(&mut self) {
        if self.is_reading() {
            return;
        }
        for (word, mail) in self.unread.iter_mut().zip(&self.desks[usize::from(self.me)].mail) {
            if mail.load(Ordering::Relaxed) != 0 {
                *word |= mail.swap(0, Ordering::SeqCst);
            }
        }
    }

    /// The next entry that is due.
    pub fn pop(&mut self) -> Option<(ShardId, T)> {
        loop {
            if let Some((source, left)) = self.reading {
                let consumer = self.from[usize::from(source)].as_mut().expect("only other shards set a bit");
                if left > 0
                    && let Some(entry) = consumer.pop()
                {
                    self.reading = Some((source, left - 1));
                    return Some((ShardId(source), entry));
                }
                if !consumer.is_empty() {
                    // The rest comes next turn.
                    set(&self.desks[usize::from(self.me)].mail, source);
                }
                self.reading = None;
            }
            let Some(word) = self.unread.iter().position(|word| *word != 0) else {
                return self.own.pop_front().map(|entry| (ShardId(self.me), entry));
            };
            let bit = self.unread[word].trailing_zeros();
            self.unread[word] &= self.unread[word] - 1;
            let source = u16::try_from(word * 64).expect("made from a u16") + u16::try_from(bit).expect("under 64");
            let due = self.from[usize::from(source)].as_ref().map_or(0, Consumer::len);
            self.reading = Some((source, due));
        }
    }

    /// Whether reading stopped before all was read that was due.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.reading.is_some() || self.unread.iter().any(|word| *word != 0)
    }

    /// Ends reading for this turn: calls `wake` for each shard that sleeps and waits for the room that was made.
    pub fn close_mail(&mut self, mut wake: impl FnMut(ShardId)) {
        for (index, room) in self.desks[usize::from(self.me)].room.iter().enumerate() {
            if room.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut bits = room.swap(0, Ordering::SeqCst);
            while bits != 0 {
                let source = index * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                // The sleeper looks at this bit as at any other news.
                set(&self.desks[source].mail, self.me);
                if self.desks[source].sleeper.must_wake() {
                    wake(ShardId(u16::try_from(source).expect("made from a u16")));
                }
            }
        }
    }

    /// Whether there is something to read.
    #[must_use]
    pub fn has_mail(&self) -> bool {
        let desk = &self.desks[usize::from(self.me)];
        !self.own.is_empty() || self.is_reading() || any(&desk.mail) || any(&desk.room)
    }

    /// Raises the sleep flag, then looks once more: true if the shard may sleep.
    pub fn may_sleep(&mut self) -> bool {
        self.desks[usize::from(self.me)].sleeper.prepare();
        !self.has_mail()
    }

    /// The shard is up again.
    pub fn awake(&self) {
        self.desks[usize::from(self.me)].sleeper.awake();
    }
}

impl<T> Outgoing<T> {
    fn new(producer: Producer<T>) -> Self {
        Self { producer, overflow: VecDeque::new(), touched: false }
    }

    /// Moves what waits into the ring, as far as there is room; says how many.
    fn refill(&mut self) -> usize {
        let mut moved = 0;
        while let Some(entry) = self.overflow.pop_front() {
            if let Err(entry) = self.producer.try_push(entry) {
                self.overflow.push_front(entry);
                break;
            }
            moved += 1;
        }
        moved
    }
}

impl Desk {
    fn new(shards: u16) -> Self {
        let bits = || (0..words(shards)).map(|_| AtomicU64::new(0)).collect();
        Self { sleeper: Sleeper::new(), mail: bits(), room: bits() }
    }
}

fn words(shards: u16) -> usize {
    usize::from(shards).div_ceil(64)
}

fn set(bits: &[AtomicU64], shard: u16) {
    bits[usize::from(shard / 64)].fetch_or(1 << (shard % 64), Ordering::SeqCst);
}

fn any(bits: &[AtomicU64]) -> bool {
    bits.iter().any(|word| word.load(Ordering::SeqCst) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    fn read<T>(endpoint: &mut Endpoint<T>) -> Vec<(u16, T)> {
        endpoint.open_mail();
        let mut got = Vec::new();
        while let Some((from, entry)) = endpoint.pop() {
            got.push((from.0, entry));
        }
        got
    }

    #[test]
    fn entries_keep_their_order_also_when_they_must_wait_for_room() {
        let mut shards = mesh_with::<u32>(2, 4);
        let mut b = shards.pop().expect("two shards");
        let mut a = shards.pop().expect("two shards");
        for entry in 0..4 {
            assert!(a.push(ShardId(1), entry));
        }
        for entry in 4..11 {
            assert!(!a.push(ShardId(1), entry));
        }
        assert_eq!(a.waiting(), 7);
        let mut got = Vec::new();
        for _ in 0..3 {
            a.flush(|_| panic!("nobody sleeps"));
            got.extend(read(&mut b).into_iter().map(|(_, entry)| entry));
            b.close_mail(|_| panic!("nobody sleeps"));
        }
        assert_eq!(got, (0..11).collect::<Vec<_>>());
        assert_eq!(a.waiting(), 0);
        assert!(a.push(ShardId(1), 11));
    }

    #[test]
    fn reading_may_stop_and_go_on_in_the_next_turn() {
        let mut shards = mesh::<u32>(3);
        for source in [0, 1] {
            for entry in 0..3 {
                shards[source].push(ShardId(2), entry);
            }
            shards[source].flush(|_| panic!("nobody sleeps"));
        }
        shards[2].open_mail();
        assert_eq!(shards[2].pop(), Some((ShardId(0), 0)));
        shards[2].close_mail(|_| panic!("nobody waits"));
        assert!(shards[2].is_reading() && shards[2].has_mail() && !shards[2].may_sleep());
        shards[0].push(ShardId(2), 3);
        shards[0].flush(|_| {});
        // What came meanwhile waits until everybody has been read.
        assert_eq!(read(&mut shards[2]), [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]);
        assert!(!shards[2].is_reading() && shards[2].has_mail());
        assert_eq!(read(&mut shards[2]), [(0, 3)]);
        assert!(read(&mut shards[2]).is_empty());
        assert!(!shards[2].is_reading() && !shards[2].has_mail());
    }

    #[test]
    fn a_sleeping_shard_is_woken_once_for_a_batch() {
        let mut shards = mesh::<u32>(3);
        assert!(shards[2].may_sleep());
        let mut woken = Vec::new();
        shards[0].push(ShardId(2), 1);
        shards[0].push(ShardId(2), 2);
        shards[0].flush(|shard| woken.push(shard.0));
        shards[1].push(ShardId(2), 3);
        shards[1].flush(|shard| woken.push(shard.0));
        assert_eq!(woken, [2]);
        assert!(!shards[2].may_sleep());
        assert_eq!(read(&mut shards[2]), [(0, 1), (0, 2), (1, 3)]);
        assert!(shards[2].may_sleep());
    }

    #[test]
    fn who_waits_for_room_is_woken_when_it_is_made() {
        let mut shards = mesh_with::<u32>(2, 2);
        for entry in 0..3 {
            shards[0].push(ShardId(1), entry);
        }
        shards[0].flush(|_| ());
        assert!(shards[0].may_sleep());
        assert_eq!(read(&mut shards[1]), [(0, 0), (0, 1)]);
        let mut woken = Vec::new();
        shards[1].close_mail(|shard| woken.push(shard.0));
        assert_eq!(woken, [0]);
        assert!(read(&mut shards[0]).is_empty());
        shards[0].flush(|_| ());
        assert_eq!(shards[0].waiting(), 0);
    }

    #[test]
    fn an_entry_to_oneself_comes_back() {
        let mut shards = mesh::<u32>(1);
        assert!(shards[0].push(ShardId(0), 5));
        assert!(!shards[0].may_sleep());
        assert_eq!(read(&mut shards[0]), [(0, 5)]);
    }

    #[test]
    fn seventy_shards_in_a_circle_lose_nothing_and_no_wake() {
        const SHARDS: u16 = 70;
        const ROUNDS: u32 = 200;
        let (bells, ears): (Vec<_>, Vec<_>) = (0..SHARDS).map(|_| mpsc::channel::<()>()).unzip();
        let threads: Vec<_> = mesh_with::<u32>(SHARDS, 2)
            .into_iter()
            .zip(ears)
            .enumerate()
            .map(|(me, (mut mesh, ear))| {
                let bells = bells.clone();
                thread::spawn(move || {
                    let wake = |shard: ShardId| {
                        let _ = bells[usize::from(shard.0)].send(());
                    };
                    let next = ShardId((u16::try_from(me).expect("small") + 1) % SHARDS);
                    let (mut sent, mut seen) = (0, 0);
                    while seen < ROUNDS || mesh.waiting() > 0 || sent < ROUNDS {
                        if sent < ROUNDS {
                            for _ in 0..3.min(ROUNDS - sent) {
                                mesh.push(next, sent);
                                sent += 1;
                            }
                        }
                        mesh.flush(wake);
                        let done = seen == ROUNDS && mesh.waiting() == 0;
                        if mesh.may_sleep() && sent == ROUNDS && !done {
                            ear.recv_timeout(Duration::from_secs(10)).expect("a wake was lost");
                        }
                        mesh.awake();
                        mesh.open_mail();
                        while let Some((_, entry)) = mesh.pop() {
                            assert_eq!(entry, seen);
                            seen += 1;
                        }
                        mesh.close_mail(wake);
                    }
                    mesh
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("no shard failed");
        }
    }
}
