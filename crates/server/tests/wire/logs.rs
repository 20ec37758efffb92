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

/// Whether a line of the log has all these parts.
fn has_line(recorder: &Recorder, parts: &[&str]) -> bool {
    let log = recorder.0.lock().expect("no panic while it is held");
    log.lines()
        .any(|line| parts.iter().all(|part| line.contains(part)))
}

#[test]
fn a_message_above_a_limit_is_a_warning_that_names_it() {
    for what in ["WebSocket", "POST", "attachment"] {
        let recorder = Recorder::default();
        crate::bed::run_logged(recorder.clone(), async {
            let bed = Bed::limited(|limits| {
                limits.max_message_bytes = 1000;
                limits.max_attachment_bytes = 100;
            })
            .await;
            let large = "x".repeat(1001);
            let limit = match what {
                "WebSocket" => {
                    let mut websocket = bed.joined().await;
                    websocket.send(&large).await;
                    "max_message_bytes"
                }
                "POST" => {
                    let mut polling = bed.polling().await;
                    assert_eq!(polling.post(large).await.status, 413);
                    "max_message_bytes"
                }
                _ => {
                    let mut websocket = bed.joined().await;
                    websocket
                        .send(r#"451-["a",{"_placeholder":true,"num":0}]"#)
                        .await;
                    websocket.send_binary(&[0; 101]).await;
                    "max_attachment_bytes"
                }
            };
            bed.reason().await;
            let parts = ["WARN", limit, "127.0.0.1", "socket="];
            assert!(has_line(&recorder, &parts), "{what}: {recorder:?}");
        });
    }
}

#[test]
fn a_layer_warns_of_files_that_do_not_exist() {
    let recorder = Recorder::default();
    crate::bed::run_logged(recorder.clone(), async {
        let builder = Server::builder().serve_client("no/such/directory");
        let _layer = builder.build().layer();
        assert!(has_line(&recorder, &["WARN", "no/such/directory"]));
    });
}

#[test]
fn an_event_that_nobody_answers_is_a_line_with_its_name() {
    let recorder = Recorder::default();
    crate::bed::run_logged(recorder.clone(), async {
        let bed = Bed::with(Server::builder()).await;
        bed.io.on("silent", async || {});
        let mut websocket = bed.joined().await;
        websocket.send("421[\"silent\"]").await;
        websocket.send("422[\"echo\",1]").await;
        assert_eq!(websocket.text().await, "432[1]");
        let parts = ["DEBUG", "none was sent"];
        assert!(has_line(&recorder, &[&parts[..], &["silent"]].concat()));
        assert!(!has_line(&recorder, &[&parts[..], &["echo"]].concat()));
    });
}
