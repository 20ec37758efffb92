//! Options that cannot work, and functions of the application that fail.

use kokanee_client::ConnectFailure;

use crate::{
    raw::{OPEN, Raw, fails, websocket},
    support::within,
};

#[tokio::test]
async fn an_auth_function_that_panics_is_a_failure() {
    for late in [false, true] {
        let raw = Raw::start().await;
        let builder = websocket(&raw).auth_with(move || {
            assert!(late, "at once");
            async { Some(()).filter(|()| false).expect("later") }
        });
        let failure = fails(builder, async {
            let mut wire = raw.websocket().await;
            wire.text(OPEN).await;
            wire.closed().await;
        })
        .await;
        let text = failure.to_string();
        assert!(
            text.starts_with("invalid option auth: its function has panicked"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn auth_must_be_an_object() {
    let raw = Raw::start().await;
    let failure = websocket(&raw)
        .auth("token")
        .build()
        .expect_err("no object");
    assert_eq!(
        failure.to_string(),
        "invalid option auth: it must serialize to a JSON object"
    );
    let failure = fails(websocket(&raw).auth_with(|| async { 7 }), async {
        let mut wire = raw.websocket().await;
        wire.text(OPEN).await;
        wire.closed().await;
    })
    .await;
    assert_eq!(
        failure.to_string(),
        "invalid option auth: it must serialize to a JSON object"
    );
}

#[tokio::test]
async fn namespaces_that_the_wire_cannot_carry_are_refused() {
    let raw = Raw::start().await;
    let (socket, _wire) = raw.open(websocket(&raw)).await;
    for namespace in ["a,b", "/x?y"] {
        let failure = within("a failure", socket.of(namespace).connect()).await;
        assert!(
            matches!(
                failure,
                Err(ConnectFailure::Option {
                    option: "namespace",
                    ..
                })
            ),
            "{failure:?}"
        );
    }
    assert!(socket.is_connected());
}
