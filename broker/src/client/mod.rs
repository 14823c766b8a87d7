//! `millrace pub` and `millrace sub`: an MQTT client on a blocking socket, with the letters of `mosquitto_pub` and
//! `mosquitto_sub`.
//!
//! | question | module |
//! | --- | --- |
//! | where to, as whom, in which version | [`options`] |
//! | packets over the socket | [`connection`] |
//! | one message or many out | [`publish`] |
//! | messages in | [`subscribe`] |
//! | what `-F` prints of a message | [`mod@format`] |

pub mod connection;
pub mod format;
pub mod options;
pub mod publish;
pub mod subscribe;
#[cfg(test)]
mod tests;

use millrace_core::reason_code::ReasonCode;

use crate::exit::Exit;

/// Why a client ended before its work was done.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The command line asks for what cannot be.
    #[error("{0}")]
    Usage(String),
    /// Nobody answers.
    #[error("cannot reach {0}")]
    Unreachable(String),
    /// The broker refused.
    #[error("{what}: {} (0x{:02X}){text}", reason.name(), *reason as u8)]
    Refused {
        /// What it refused.
        what: String,
        /// Why.
        reason: ReasonCode,
        /// Its Reason String, with a separator in front.
        text: String,
    },
    /// The connection ended or made no sense.
    #[error("{0}")]
    Failed(String),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// Nobody reads what is printed any more.
    #[error("output closed")]
    OutputClosed,
}

impl ClientError {
    /// What the program exits with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Unreachable(_) => Exit::Unreachable,
            Self::Refused { reason, .. } => match reason {
                ReasonCode::NotAuthorized
                | ReasonCode::BadUserNameOrPassword
                | ReasonCode::BadAuthenticationMethod
                | ReasonCode::Banned => Exit::NotAllowed,
                ReasonCode::ServerUnavailable
                | ReasonCode::ServerBusy
                | ReasonCode::ServerShuttingDown
                | ReasonCode::UseAnotherServer
                | ReasonCode::ServerMoved
                | ReasonCode::ConnectionRateExceeded => Exit::Unreachable,
                _ => Exit::Failed,
            },
            Self::Failed(_) => Exit::Failed,
            Self::Interrupted => Exit::Interrupted,
            Self::OutputClosed => Exit::Done,
        }
    }

    /// Says it, unless there is nothing to say, and gives the exit code.
    #[must_use]
    pub fn say(&self) -> Exit {
        if !matches!(self, Self::Interrupted | Self::OutputClosed) {
            eprintln!("error: {}", crate::diagnostics::printable(&self.to_string()));
        }
        if let Self::Unreachable(_) = self {
            eprintln!("  is the broker running there? `millrace` starts one; -h HOST and -p PORT say where to look");
        }
        self.exit()
    }
}
