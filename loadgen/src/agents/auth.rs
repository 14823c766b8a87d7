//! The token that an agent and its leader share: each shows that it has it, and neither sends it.
//!
//! Not here: secrecy. What follows is neither encrypted nor signed; networks that are not trusted want a tunnel.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The variable that may hold the token.
pub(crate) const VARIABLE: &str = "MILLRACE_LOAD_TOKEN";
/// Letters that a token has at least.
const LETTERS_MIN: usize = 16;
/// Bytes of a nonce.
const NONCE_BYTES: usize = 32;

/// Who shows that it has the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Leader,
    Agent,
}

/// See the head of this file.
#[derive(Clone)]
pub(crate) struct Token(Vec<u8>);

impl Token {
    /// From the file, else from the environment; none if there is neither.
    pub(crate) fn find(file: Option<&Path>) -> Result<Option<Self>, String> {
        let text = match file {
            Some(path) => Some(
                std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?,
            ),
            None => std::env::var(VARIABLE).ok(),
        };
        text.map(|text| Self::new(&text)).transpose()
    }

    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let text = text.trim();
        match text.len() < LETTERS_MIN {
            true => Err(format!("the token has {} letters, {LETTERS_MIN} are the least", text.len())),
            false => Ok(Self(text.as_bytes().to_vec())),
        }
    }

    /// The proof of one side for this pair of nonces.
    pub(crate) fn proof(&self, side: Side, nonces: [&str; 2]) -> String {
        hex(&self.mac(side, nonces).finalize().into_bytes())
    }

    /// Whether a proof is right, in a time that tells nothing of where it is wrong.
    pub(crate) fn accepts(&self, proof: &str, side: Side, nonces: [&str; 2]) -> bool {
        unhex(proof).is_some_and(|proof| self.mac(side, nonces).verify_slice(&proof).is_ok())
    }

    fn mac(&self, side: Side, [agent, leader]: [&str; 2]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key may have any length");
        let side: &[u8] = if side == Side::Leader { b"leader" } else { b"agent" };
        for text in [side, agent.as_bytes(), leader.as_bytes()] {
            mac.update(&(text.len() as u64).to_be_bytes());
            mac.update(text);
        }
        mac
    }
}

/// Bytes that nobody has seen before.
pub(crate) fn nonce() -> Result<String, String> {
    let mut bytes = [0; NONCE_BYTES];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| format!("cannot read /dev/urandom: {error}"))?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
