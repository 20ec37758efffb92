//! The session's id is its password: the server sends it once, to its owner, and to nobody else.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use kokanee_server::{Cookie, Cors, Server};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::{
    bed::{Bed, RS},
    support::{frame, http},
};

/// Writes down everything that is logged, with all fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(pub(crate) Arc<Mutex<String>>);

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        let mut log = self.0.lock().expect("no panic while it is held");
        let _ = write!(log, "span {}", span.metadata().name());
        span.record(&mut Fields(&mut log));
        log.push('\n');
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut Fields(
            &mut self.0.lock().expect("no panic while it is held"),
        ));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut log = self.0.lock().expect("no panic while it is held");
        let metadata = event.metadata();
        let _ = write!(log, "{} {}", metadata.level(), metadata.target());
        event.record(&mut Fields(&mut log));
        log.push('\n');
    }

    fn enter(&self, _: &span::Id) {
        let mut log = self.0.lock().expect("no panic while it is held");
        log.push_str("in span: ");
    }

    fn exit(&self, _: &span::Id) {
        self.0.lock().expect("no panic while it is held").push('\n');
    }
}

#[test]
fn ids_of_sessions_are_told_once_and_never_logged() {
    let recorder = Recorder::default();
    crate::bed::run_logged(recorder.clone(), async {
        let builder = Server::builder()
            .allow_eio3(true)
            .cors(Cors::origins(["https://app.example"]));
        let bed = Bed::with(builder).await;
        bed.io.on("fail", async || Err::<(), _>("it failed"));
        bed.io
            .of("/no")
            .middleware(async || Err::<(), _>("refused"));
        let mut sids = Vec::new();
        let mut bodies: Vec<String> = Vec::new();
        // A session with everything that may be logged, by each transport, and its upgrade.
        let mut polling = bed.open_polling().await;
        sids.push(polling.sid.clone());
        polling
            .send(&format!(
                "40{RS}40/no,{RS}40/nope,{RS}42[\"fail\"]{RS}421[\"echo\",1]"
            ))
            .await;
        bodies.push(polling.poll().await);
        for target in [
            polling.target.replace("EIO=4", "EIO=3"),
            polling.target.replace("polling", "websocket"),
            format!("{}x", polling.target),
            format!("{}&sid=2", polling.target),
            polling.target.replace("/socket.io/", "/socket.iox/"),
        ] {
            for request in [
                http::get(&target, &[]),
                http::upgrade(&target, &[]),
                http::request("PUT", &target, &[], None),
            ] {
                let answer = bed.request(request).await;
                if answer.status != 101 {
                    bodies.push(format!("{answer:?}"));
                }
            }
        }
        let mut websocket = bed.probe(&polling.sid).await;
        websocket.send("2probe").await;
        bodies.push(websocket.text().await);
        websocket.send("5").await;
        websocket.send("421[\"echo\",1]").await;
        bodies.push(websocket.text().await);
        websocket.send_raw(frame(0xf1, b"broken")).await;
        bodies.push(format!("{:?}", websocket.drain().await));

        for body in ["9", "2", "4x", "1", "42[\"bye\"]"] {
            let mut polling = bed.polling().await;
            sids.push(polling.sid.clone());
            bodies.push(format!("{:?}", polling.post(body).await));
            bodies.push(format!("{:?}", polling.get().await));
            let (mut websocket, sid) = bed.open_websocket().await;
            sids.push(sid);
            bodies.push(websocket.join().await);
            websocket.send(body).await;
            bodies.push(format!("{:?}", websocket.drain().await));
        }
        let old = bed.open_polling_with("EIO=3&b64=1").await;
        sids.push(old.sid.clone());
        bodies.push(format!("{:?}", bed.post(&old.target, "bad").await));
        let octets = [("Content-Type", "application/octet-stream")];
        let polling = bed.open_polling().await;
        sids.push(polling.sid.clone());
        bodies.push(format!(
            "{:?}",
            bed.request(http::post(&polling.target, &octets, b"x"))
                .await
        ));
        let _ = bed.io.close(std::time::Duration::from_secs(2)).await;

        let log = recorder
            .0
            .lock()
            .expect("no panic while it is held")
            .clone();
        assert!(log.contains("session closed"), "the recorder works: {log}");
        let bodies = bodies.join("\n");
        for sid in &sids {
            assert!(!log.contains(sid.as_str()), "{sid} was logged:\n{log}");
            assert!(
                !bodies.contains(sid.as_str()),
                "{sid} was sent a second time:\n{bodies}"
            );
        }
    });
}

#[test]
fn what_clients_send_cannot_forge_lines_of_the_log() {
    let recorder = Recorder::default();
    crate::bed::run_logged(recorder.clone(), async {
        let bed = Bed::new().await;
        bed.get("/socket.io/?EIO=4&transport=polling&sid=a%0aCRITICAL%1b[31m")
            .await;
        bed.get("/socket.io/?EIO=4&transport=a%0aCRITICAL%1b[31m")
            .await;
        let mut websocket = bed.joined().await;
        websocket.send("40/a\nCRITICAL\x1b[31m,").await;
        websocket.text().await;
        bed.io
            .on("a\nCRITICAL\x1b[31m", async || Err::<(), _>("no"));
        websocket.send("42[\"a\\nCRITICAL\\u001b[31m\"]").await;
        websocket.send("4\nCRITICAL\x1b[31m").await;
        websocket.end().await;
        let log = recorder
            .0
            .lock()
            .expect("no panic while it is held")
            .clone();
        assert!(!log.is_empty());
        assert!(!log.contains('\x1b'), "{log:?}");
        assert!(
            !log.lines().any(|line| line.starts_with("CRITICAL")),
            "{log:?}"
        );
    });
}

#[test]
fn the_cookie_holds_the_id_and_nothing_else_does() {
    crate::bed::run(async {
        let bed = Bed::with(Server::builder().cookie(Cookie::default())).await;
        let answer = bed.get("/socket.io/?EIO=4&transport=polling").await;
        let sid = crate::support::sid_of(&answer.text());
        let fields: Vec<&str> = answer
            .headers
            .iter()
            .filter(|(_, value)| value.contains(&sid))
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(fields, ["set-cookie"]);
        // A cookie alone says nothing about the session: requests name it.
        let cookie = format!("io={sid}");
        let answer = bed
            .request(http::get(
                "/socket.io/?EIO=4&transport=polling",
                &[("Cookie", &cookie)],
            ))
            .await;
        assert_ne!(crate::support::sid_of(&answer.text()), sid);
    });
}
