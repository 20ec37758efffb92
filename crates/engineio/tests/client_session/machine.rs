//! Random runs of a client's session: each byte of a script is an action of the server, the network or the application.

use kokanee_engineio::{Revision, Transport};

use crate::client::{Client, OPEN, UPGRADES, VOLATILE};

/// Runs a session by `script`: each byte is an action of the server, the network or the application.
pub(crate) fn live(script: &[u8]) {
    const PACKETS: [&str; 12] = [
        OPEN, UPGRADES, "1", "2", "3", "4text", "5", "6", "bAQID", "3probe", "x", "",
    ];
    let kind = script.first().copied().unwrap_or_default();
    let revision = if kind & 1 == 0 {
        Revision::V4
    } else {
        Revision::V3
    };
    let transport = if kind & 2 == 0 {
        Transport::Polling
    } else {
        Transport::WebSocket
    };
    let mut client = Client::new(revision, transport);
    for &step in script.iter().skip(1) {
        let packet = PACKETS[usize::from(step) % PACKETS.len()];
        match step % 13 {
            0 | 1 if client.gets == 1 => client.answers(packet),
            2 if client.gets == 1 => client.answers(&format!("{packet}\u{1e}4x\u{1e}{packet}")),
            3 if client.posts == 1 => client.accepts(),
            4 => client.probe_frame(packet),
            5 => {
                client.session.handle_probe_opened(client.now);
                client.turn();
            }
            6 => {
                client.session.handle_probe_closed(client.now);
                client.turn();
            }
            7 => client.send("sent"),
            8 => client.send_with("volatile", VOLATILE),
            9 => client.advance(u64::from(step) * 100),
            10 => client.session.set_reading_paused(client.now, step % 2 == 0),
            11 if step > 200 => client.close(),
            11 if step > 150 => client.leave("left"),
            11 if step > 100 => client.pong(),
            _ if client.session.transport() == Transport::WebSocket => client.frame(packet),
            _ => {}
        }
        assert!(client.session.outbound_bytes() <= 1 << 20);
    }
    // In every state the session can be closed, and then it ends.
    client.session.set_reading_paused(client.now, false);
    client.close();
    // 1 s for an upgrade, and then 10 s for the close packet.
    client.advance(11_000);
    assert!(client.is_finished && client.closed.is_some());
    assert!(!client.session.is_open() && client.session.deadline().is_none());
}
