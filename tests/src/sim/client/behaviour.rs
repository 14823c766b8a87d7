//! Behaviour: what a client does next, and what goes wrong for it.

use millrace_core::codec::acks::AckKind;
use millrace_core::codec::properties::Properties;
use millrace_core::packet::{Disconnect, Packet};
use millrace_core::reason_code::ReasonCode;

use super::{Client, Farewell, Phase, Reading, Role};
use crate::sim::network::Network;
use crate::sim::oracle::Oracle;
use crate::sim::rng::Rng;

impl Client {
    /// Sends what it owes.
    pub fn acknowledge(&mut self, all: bool, network: &mut Network, rng: &mut Rng, now: u64) {
        if self.phase != Phase::Online || self.quitting {
            return;
        }
        while !self.due.is_empty() && (all || rng.chance(self.habits.ack_chance)) {
            let (kind, packet_id) = self.due.pop_front().expect("not empty");
            if kind != AckKind::PubRec {
                self.open.remove(&packet_id);
            }
            self.send_ack(network, now, kind, packet_id, ReasonCode::Success);
        }
    }

    /// Sends PINGREQ in time.
    pub fn keep_alive(&mut self, network: &mut Network, now: u64) {
        let period = u64::from(self.habits.keep_alive) * 1000;
        if self.phase == Phase::Online && !self.quitting && period > 0 && now - self.spoke_at > period / 2 {
            self.pings += 1;
            self.send(network, now, &Packet::PingReq);
        }
    }

    /// Asks for a sign of life, which comes behind all answers that are due.
    pub fn ping(&mut self, network: &mut Network, now: u64) {
        if self.phase == Phase::Online && !self.quitting {
            self.pings += 1;
            self.send(network, now, &Packet::PingReq);
        }
    }

    /// Does something, or lets something happen to it.
    pub fn act(&mut self, network: &mut Network, oracle: &mut Oracle, rng: &mut Rng, now: u64, faults: bool) {
        if let Phase::Offline(_) = self.phase {
            if self.may_connect(network, now) {
                self.connect(network, oracle, rng, now);
            }
            return;
        }
        if faults && self.fail(network, oracle, rng, now) {
            return;
        }
        if self.phase != Phase::Online || self.quitting {
            return;
        }
        self.acknowledge(false, network, rng, now);
        if self.role != Role::Worker {
            return;
        }
        match rng.below(100) {
            0..55 => {
                for _ in 0..rng.between(1, 6) {
                    self.publish(network, oracle, rng, now);
                }
            }
            55..70 => self.subscribe(network, oracle, rng, now),
            70..74 => self.unsubscribe(network, oracle, rng, now),
            74..76 => self.ping(network, now),
            76..78 if faults => self.reading = Reading::Slowly,
            78..79 if faults => self.reading = Reading::Stopped(now + rng.between(10, 20_000)),
            79..90 => self.reading = Reading::All,
            90..92 if faults => self.disconnect(network, now),
            _ => {}
        }
    }

    /// Reads and acknowledges promptly from now on.
    pub fn calm_down(&mut self, now: u64) {
        self.quiet = true;
        self.reading = Reading::All;
        if let Phase::Offline(until) = &mut self.phase {
            *until = now;
        }
    }

    /// DISCONNECT and FIN.
    pub fn disconnect(&mut self, network: &mut Network, now: u64) {
        let Some(link) = self.link.filter(|_| self.phase == Phase::Online) else { return };
        let disconnect = Disconnect { reason_code: ReasonCode::Success, properties: Properties::EMPTY };
        self.send(network, now, &Packet::Disconnect(disconnect));
        network.finish(link);
        self.farewell = Farewell::Sent;
        self.quitting = true;
    }

    /// Bad luck of all kinds.
    pub(super) fn fail(&mut self, network: &mut Network, oracle: &mut Oracle, rng: &mut Rng, now: u64) -> bool {
        let Some(link) = self.link else { return false };
        let back = now + rng.pick(&[0, 1, 50, 2000, 8000, 30_000]);
        match rng.below(1000) {
            0..8 => network.reset(link),
            8..12 => network.vanish(link),
            // The half that was sent so far arrives, then the end.
            12..16 => network.finish(link),
            // Another connection takes this one over; nobody reads here any more.
            16..22 if !self.quitting && self.phase == Phase::Online => {
                network.vanish(link);
                self.connect(network, oracle, rng, now);
                return true;
            }
            _ => return false,
        }
        self.forget_connection(network, oracle, now);
        self.phase = Phase::Offline(back);
        true
    }
}
