//! What the log says of events that nobody handles, of errors, and of refusals.

use kokanee_server::{Data, Server};

use crate::{bed::Bed, secrets::Recorder};

#[test]
fn logs_name_namespace_socket_and_event() {
    let recorder = Recorder::default();
    crate::bed::run_logged(recorder.clone(), async {
        let bed = Bed::with(Server::builder()).await;
        let chat = bed.io.of("/chat");
        let ids = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let known = std::sync::Arc::clone(&ids);
        chat.middleware(move |socket: kokanee_server::Socket| {
            let mut known = known.lock().expect("no panic while it is held");
            known.push(socket.id().to_string());
            let allowed = known.len() == 1;
            async move { if allowed { Ok(()) } else { Err("full") } }
        });
        chat.on("count", async |Data(_): Data<u32>| {});
        chat.on("fail", async || Err::<(), _>("out of fish"));
        chat.on("later", async || -> Result<(), &str> {
            tokio::task::yield_now().await;
            tracing::info!("a line of the application");
            panic!("the plan")
        });
        let mut websocket = bed.joined().await;
        websocket.send("40/chat,").await;
        websocket.text().await;
        for event in [
            r#"["nobody"]"#,
            r#"["count","many"]"#,
            r#"["fail"]"#,
            r#"["later"]"#,
        ] {
            websocket.send(&format!("42/chat,{event}")).await;
        }
        websocket.send("421[\"echo\",1]").await;
        assert_eq!(websocket.text().await, "431[1]");
        websocket.send("41/chat,").await;
        websocket.send("40/chat,").await;
        assert!(websocket.text().await.starts_with("44/chat,"));

        let ids = ids.lock().expect("no panic while it is held").clone();
        let log = recorder
            .0
            .lock()
            .expect("no panic while it is held")
            .clone();
        let has = |parts: &[&str]| {
            let line = |line: &str| parts.iter().all(|part| line.contains(part));
            assert!(log.lines().any(line), "{parts:?}: {log}");
        };
        let (socket, refused) = (&*ids[0], &*ids[1]);
        has(&[
            "DEBUG",
            "event without a handler",
            "\"/chat\"",
            socket,
            "\"nobody\"",
        ]);
        has(&[
            "WARN",
            "event not handled",
            "\"/chat\"",
            socket,
            "\"count\"",
            "invalid type",
        ]);
        has(&[
            "WARN",
            "event not handled",
            "\"/chat\"",
            socket,
            "\"fail\"",
            "out of fish",
        ]);
        has(&[
            "WARN",
            "event not handled",
            "\"/chat\"",
            socket,
            "\"later\"",
            "the plan",
        ]);
        for event in ["connection", "nobody", "count", "fail", "later"] {
            has(&["span event", "\"/chat\"", socket, &format!("{event:?}")]);
        }
        has(&["in span: INFO", "a line of the application"]);
        has(&["DEBUG", "socket refused", "\"/chat\"", refused, "full"]);
    });
}
