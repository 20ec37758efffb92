//! What a response means that opens no session.

use http::{StatusCode, header};
use kokanee_engineio::Revision;

use super::{config::EngineConfig, error::ConnectFailure, request::FullResponse};

/// The texts of Engine.IO's codes 0 to 5.
const FAULTS: [&str; 6] = [
    "Transport unknown",
    "Session ID unknown",
    "Bad handshake method",
    "Bad request",
    "Forbidden",
    "Unsupported protocol version",
];

/// Returns the failure that an answer without a session means.
pub(crate) fn refusal(config: &EngineConfig, response: &FullResponse) -> ConnectFailure {
    #[derive(serde::Deserialize)]
    struct Fault {
        code: i64,
        message: String,
    }
    let revision = config.session.revision;
    // The JavaScript server answers requests for a WebSocket with the text alone.
    let fault = serde_json::from_slice(&response.body).ok().or_else(|| {
        let text = std::str::from_utf8(&response.body).ok()?.trim();
        let code = FAULTS.iter().position(|fault| *fault == text)?;
        Some(Fault {
            code: i64::try_from(code).ok()?,
            message: text.to_owned(),
        })
    });
    if let Some(Fault { code, message }) = fault {
        return match code {
            0 => ConnectFailure::Transport {
                transport: config
                    .transports
                    .first()
                    .map_or("", |transport| transport.as_str()),
            },
            5 => wrong_revision(revision),
            _ => ConnectFailure::Rejected {
                status: response.status,
                code,
                message,
            },
        };
    }
    // python-socketio has its own text for it.
    if response.status == StatusCode::BAD_REQUEST && says(response, "unsupported version") {
        return wrong_revision(revision);
    }
    // nginx, Go and Apache each have their own text for it.
    let wants_tls = ["HTTPS port", "HTTPS server", "SSL-enabled server port"];
    let hint = if wants_tls.iter().any(|words| says(response, words)) {
        Some("it expects TLS on this port, so the URL begins with https:// or wss://")
    } else {
        hint(response.status)
    };
    if let Some(hint) = hint {
        let status = response.status;
        return ConnectFailure::Unavailable { status, hint };
    }
    let mut reason = format!("it answered HTTP {}", response.status);
    if let Some(location) = response.headers.get(header::LOCATION) {
        reason.push_str(" to ");
        reason.push_str(&String::from_utf8_lossy(location.as_bytes()));
    } else if response.status.is_success() {
        reason = String::from("its answer is not a handshake");
    }
    ConnectFailure::NotSocketIo {
        path: config.path.clone(),
        reason,
    }
}

/// Returns the failure that an answer instead of a WebSocket means. If a proxy does not pass upgrades on, the server gets an
/// ordinary request, and each server reports that in its own way: socket.io with code 3, python-socketio in words, socketioxide
/// not at all.
pub(crate) fn no_websocket(config: &EngineConfig, response: &FullResponse) -> ConnectFailure {
    let status = response.status;
    let is_ordinary = match status {
        StatusCode::UPGRADE_REQUIRED => true,
        StatusCode::BAD_REQUEST => {
            response.body.is_empty()
                || says(response, "\"code\":3")
                || says(response, "websocket upgrade")
        }
        _ => false,
    };
    if is_ordinary {
        return ConnectFailure::NoUpgrade { status };
    }
    refusal(config, response)
}

/// Whether a body contains a text.
fn says(response: &FullResponse, text: &str) -> bool {
    String::from_utf8_lossy(&response.body).contains(text)
}

/// Returns the hint for a status that says nothing about Socket.IO.
fn hint(status: StatusCode) -> Option<&'static str> {
    Some(match status {
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            "it requires credentials: set them in the URL or in a header"
        }
        StatusCode::FORBIDDEN => {
            "it refuses this client; are its address, origin and headers allowed? Python's servers answer this to every \
             WebSocket that they refuse, for instance one of another revision"
        }
        StatusCode::TOO_MANY_REQUESTS => {
            "too many connections or requests from here; wait, or raise its limit"
        }
        StatusCode::BAD_GATEWAY => {
            "a proxy cannot reach the server; does that run, and on the port that the proxy forwards to?"
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            "it accepts no connections now; does the server run, or is it overloaded?"
        }
        StatusCode::GATEWAY_TIMEOUT => {
            "a proxy has waited for the server in vain; does that run, and is the proxy's timeout longer than a poll?"
        }
        _ => return None,
    })
}

/// Returns the failure of a server that speaks the other revision.
pub(crate) fn wrong_revision(revision: Revision) -> ConnectFailure {
    let (revision, other) = match revision {
        Revision::V3 => (3, 4),
        Revision::V4 => (4, 3),
    };
    ConnectFailure::WrongRevision { revision, other }
}

/// Whether a body is the handshake of the revision that was not asked for: `96:0{…` is one of revision 3.
pub(crate) fn is_other_revision(revision: Revision, body: &[u8]) -> bool {
    match revision {
        Revision::V4 => {
            let digits = body.iter().take_while(|byte| byte.is_ascii_digit()).count();
            digits > 0
                && body
                    .get(digits..)
                    .is_some_and(|rest| rest.starts_with(b":0{"))
        }
        Revision::V3 => body.starts_with(b"0{"),
    }
}
