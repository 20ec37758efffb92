//! Servers of Socket.IO 2.

use kokanee_client::{Client, Revision, Transport};

use crate::{
    raw::{OPEN, Raw, Wire, connect_while, websocket},
    support::{accepted, within},
};

/// A server of Socket.IO 2 whose client has opened a session. It connects `/` by itself.
async fn opened_by_old_server(raw: &Raw) -> Wire {
    let mut wire = raw.websocket().await;
    wire.text(OPEN).await;
    wire.text("40").await;
    wire
}

#[tokio::test]
async fn the_root_of_an_old_server_waits_for_no_auth() {
    let raw = Raw::start().await;
    let builder = websocket(&raw)
        .revision(Revision::V3)
        .auth_with(std::future::pending::<u32>);
    let (socket, mut wire) = tokio::join!(accepted(builder.connect()), opened_by_old_server(&raw));
    socket.emit("x", 1).await.expect("sent");
    assert_eq!(wire.next().await, "42[\"x\",1]");
}

#[tokio::test]
async fn the_root_of_an_old_server_is_joined_late_and_again() {
    let raw = Raw::start().await;
    let builder = Client::builder(&format!("{}/admin", raw.url()))
        .transports([Transport::WebSocket])
        .revision(Revision::V3);
    let script = async {
        let mut wire = opened_by_old_server(&raw).await;
        assert_eq!(wire.next().await, "40/admin,");
        wire.text("40/admin,").await;
        wire
    };
    let (admin, mut wire) = tokio::join!(accepted(builder.connect()), script);
    let root = admin.of("/");
    within("what is connected", root.connect())
        .await
        .expect("accepted");
    assert_eq!(root.id().as_deref(), Some("secret"));
    root.disconnect().await.expect("all has left");
    assert_eq!(wire.next().await, "41");
    let script = async {
        assert_eq!(wire.next().await, "40");
        wire.text("40").await;
    };
    connect_while(&root, script).await;
    // Without a middleware such a server does not answer what it has accepted before, but it refuses.
    root.disconnect().await.expect("all has left");
    assert_eq!(wire.next().await, "41");
    let script = async {
        assert_eq!(wire.next().await, "40");
        wire.text("44\"no\"").await;
    };
    let (refused, ()) = tokio::join!(within("a refusal", root.connect()), script);
    refused.expect_err("refused");
    within("silence", root.connect()).await.expect("accepted");
    assert!(admin.is_connected() && root.is_connected());
}
