//! Long-polling: what GET and POST answer to the byte, and in which order packets go and come.

use std::{sync::Arc, time::Duration};

use kokanee_server::{Server, Socket};
use tokio::sync::Semaphore;

use crate::{
    bed::{Bed, RS, assert_alive, assert_gone, run},
    support::http,
};

const TARGET: &str = "/socket.io/?EIO=4&transport=polling";

#[test]
fn the_handshake_is_exact() {
    run(async {
        let mut bed = Bed::new().await;
        let answer = bed.get(TARGET).await;
        let sid = crate::support::sid_of(&answer.text());
        bed.check("status", answer.status_line.as_str(), "HTTP/1.1 200 OK");
        bed.check("body", answer.text(), format!("0{{\"sid\":\"{sid}\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}}"));
        bed.check(
            "type",
            answer.header("content-type"),
            Some("text/plain; charset=UTF-8"),
        );
        bed.check(
            "length",
            answer.header("content-length"),
            Some(answer.body.len().to_string().as_str()),
        );
        bed.check("cache", answer.header("cache-control"), Some("no-store"));
        for absent in [
            "set-cookie",
            "access-control-allow-origin",
            "content-encoding",
            "x-xss-protection",
            "vary",
            "server",
        ] {
            bed.check(absent, answer.header(absent), None);
        }
    });
}

#[test]
fn the_handshake_tells_the_settings() {
    run(async {
        let builder = Server::builder()
            .allow_upgrades(false)
            .with_limits(|limits| {
                limits.ping_interval = Duration::from_millis(12_345);
                limits.ping_timeout = Duration::from_millis(6_789);
                limits.max_message_bytes = 4_321;
            });
        let bed = Bed::with(builder).await;
        let polling = bed.open_polling().await;
        let sid = &polling.sid;
        assert_eq!(
            polling.opening,
            format!(
                "0{{\"sid\":\"{sid}\",\"upgrades\":[],\"pingInterval\":12345,\"pingTimeout\":6789,\"maxPayload\":4321}}"
            )
        );
    });
}

#[test]
fn answers_of_posts_are_exact() {
    run(async {
        let mut bed = Bed::new().await;
        let mut polling = bed.open_polling().await;
        let answer = polling.post("40").await;
        bed.check("status", answer.status_line.as_str(), "HTTP/1.1 200 OK");
        bed.check("body", answer.text(), "ok".to_owned());
        bed.check("type", answer.header("content-type"), Some("text/html"));
        bed.check("length", answer.header("content-length"), Some("2"));
        bed.check("cache", answer.header("cache-control"), Some("no-store"));
    });
}

#[test]
fn old_internet_explorers_are_told_that_this_is_no_attack() {
    run(async {
        let mut bed = Bed::new().await;
        for (name, agent, expected) in [
            ("IE 8", "Mozilla/4.0 (compatible;MSIE 8.0)", Some("0")),
            (
                "IE 11",
                "Mozilla/5.0 (Windows NT; Trident/7.0; rv:11.0) like Gecko",
                Some("0"),
            ),
            (
                "Firefox",
                "Mozilla/5.0 (X11; rv:140.0) Gecko Firefox/140.0",
                None,
            ),
        ] {
            let agent = [("User-Agent", agent)];
            let answer = bed.request(http::get(TARGET, &agent)).await;
            bed.check(
                format!("{name}: open"),
                answer.header("x-xss-protection"),
                expected,
            );
            let polling = bed.open_polling().await;
            let answer = bed
                .request(http::post(&polling.target, &agent, b"40"))
                .await;
            bed.check(
                format!("{name}: POST"),
                answer.header("x-xss-protection"),
                expected,
            );
            let answer = bed.request(http::get(&polling.target, &agent)).await;
            bed.check(
                format!("{name}: GET"),
                answer.header("x-xss-protection"),
                expected,
            );
        }
    });
}

#[test]
fn nothing_of_a_request_comes_back_with_its_answer() {
    run(async {
        let mut bed = Bed::new().await;
        for count in [0, 2, 10, 20, 40, 90] {
            let sent: Vec<_> = (0..count).map(|n| format!("x-secret-{n}")).collect();
            let sent: Vec<_> = sent.iter().map(|name| (name.as_str(), "hidden")).collect();
            let polling = bed.open_polling().await;
            let mut http = bed.http().await;
            for (method, request, content_type) in [
                (
                    "POST",
                    http::post(&polling.target, &sent, b"40"),
                    "text/html",
                ),
                (
                    "GET",
                    http::get(&polling.target, &sent),
                    "text/plain; charset=UTF-8",
                ),
            ] {
                http.send(request).await;
                let answer = http.response().await;
                let mut names: Vec<_> = answer
                    .headers
                    .iter()
                    .map(|(name, _)| name.as_str())
                    .collect();
                names.sort_unstable();
                let case = format!("{method} with {count} headers");
                bed.check(&case, answer.header("content-type"), Some(content_type));
                let expected = vec!["cache-control", "content-length", "content-type", "date"];
                bed.check(case, names, expected);
            }
        }
    });
}

#[test]
fn a_get_waits_until_there_is_something() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        polling.begin_poll().await;
        assert!(
            polling
                .gets()
                .is_silent_for(Duration::from_millis(200))
                .await
        );
        bed.socket().await.emit("news", 1).await.unwrap();
        assert_eq!(polling.answer().await.text(), "42[\"news\",1]");
    });
}

#[test]
fn what_waits_comes_in_one_answer_and_in_order() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        let socket = bed.socket().await;
        for n in 0..100 {
            socket.emit("n", n).await.unwrap();
        }
        let expected: Vec<String> = (0..100).map(|n| format!("42[\"n\",{n}]")).collect();
        let mut got = String::new();
        while got.matches(RS).count() < 99 {
            if !got.is_empty() {
                got.push_str(RS);
            }
            got.push_str(&polling.poll().await);
        }
        assert_eq!(got, expected.join(RS));
    });
}

#[test]
fn packets_of_a_post_are_handled_in_order() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.open_polling().await;
        let many: Vec<String> = (0..40)
            .map(|n| format!("42{n}[\"echo\",{n},\"é€😀\"]"))
            .collect();
        polling.send(&format!("40{RS}{}", many.join(RS))).await;
        let mut got = Vec::new();
        while got.len() < 41 {
            got.extend(polling.poll().await.split(RS).map(str::to_owned));
        }
        assert!(got.remove(0).starts_with("40{\"sid\":"));
        let expected: Vec<String> = (0..40).map(|n| format!("43{n}[{n},\"é€😀\"]")).collect();
        assert_eq!(got, expected);
    });
}

#[test]
fn binary_travels_as_base64() {
    run(async {
        let mut bed = Bed::new().await;
        let mut polling = bed.polling().await;
        let event = "[\"echo\",{\"_placeholder\":true,\"num\":0}]";
        for (name, sent, returned) in [
            ("standard", "bAQIDBA==", "bAQIDBA=="),
            ("empty", "b", "b"),
            ("without padding", "bAQIDBA", "bAQIDBA=="),
            ("URL-safe", "b-_-_", "b+/+/"),
        ] {
            polling.send(&format!("451-{event}{RS}{sent}")).await;
            bed.check(
                name,
                polling.poll().await,
                format!("451-{event}{RS}{returned}"),
            );
        }
        let all: Vec<u8> = (0..=u8::MAX).cycle().take(768).collect();
        bed.socket()
            .await
            .emit("all", bytes::Bytes::from(all))
            .await
            .unwrap();
        let answer = polling.poll().await;
        let sent = answer
            .strip_prefix(&format!(
                "451-[\"all\",{{\"_placeholder\":true,\"num\":0}}]{RS}b"
            ))
            .expect("an event and its attachment");
        bed.check("length", sent.len(), 1024);
        polling.send(&format!("451-{event}{RS}b{sent}")).await;
        let answer = polling.poll().await;
        bed.check(
            "every byte",
            answer.ends_with(&format!("{RS}b{sent}")),
            true,
        );
    });
}

#[test]
fn a_second_get_is_refused_and_ends_the_session() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        polling.pending_poll().await;
        let second = bed.get(&polling.target).await;
        assert_eq!(second.brief(), (400, String::new()));
        assert_eq!(second.header("content-type"), None);
        assert_eq!(polling.answer().await.brief(), (200, "1".to_owned()));
        assert_eq!(bed.reason().await, "transport error");
        assert_gone(&bed, &polling).await;
    });
}

#[test]
fn a_post_goes_on_when_the_events_that_it_waits_for_are_gone() {
    run(async {
        let gate = Arc::new(Semaphore::new(0));
        let limited = Server::builder().with_limits(|limits| limits.max_queued_events = 2);
        let bed = Bed::with(limited).await;
        let permits = Arc::clone(&gate);
        bed.io.on("slow", move |socket: Socket| {
            let gate = Arc::clone(&permits);
            async move {
                let _permit = gate.acquire().await;
                socket.disconnect();
            }
        });
        bed.io.of("/a");
        let mut polling = bed.polling().await;
        polling.send("40/a,").await;
        assert!(polling.poll().await.starts_with("40/a,{"));
        let slow = "42[\"slow\"]";
        let body = [slow, slow, slow, "42/a,[\"x\"]"].join(RS);
        let post = http::post(&polling.target, &[], body.as_bytes());
        polling.posts().send(post).await;
        let waits = polling.posts().is_silent_for(Duration::from_millis(50));
        assert!(waits.await, "the handler is behind");
        gate.add_permits(1);
        assert_eq!(
            polling.posts().response().await.brief(),
            (200, "ok".to_owned())
        );
    });
}

#[test]
fn posts_may_wait_for_permission_and_come_in_pieces() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        let mut http = bed.http().await;
        http.send(format!(
            "POST {} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n",
            polling.target
        ))
        .await;
        for byte in "42[\"a\"]".bytes() {
            http.send([byte]).await;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        assert_eq!(http.response().await.brief(), (200, "ok".to_owned()));
        bed.saw("event a").await;
        let request = http::post(&polling.target, &[], b"42[\"b\"]");
        for byte in request {
            http.send([byte]).await;
        }
        assert_eq!(http.response().await.brief(), (200, "ok".to_owned()));
        bed.saw("event b").await;
        assert_alive(&mut polling).await;
    });
}

#[test]
fn answers_are_compressed_if_the_client_can_and_it_is_worth_it() {
    run(async {
        let mut bed = Bed::new().await;
        let polling = bed.polling().await;
        let socket = bed.socket().await;
        let long = "x".repeat(2000);
        let rows = [
            ("gzip", "gzip", &*long, Some("gzip")),
            ("deflate", "deflate", &long, Some("deflate")),
            ("both", "deflate, gzip, br", &long, Some("gzip")),
            (
                "by weight",
                "gzip;q=0.5, deflate;q=0.9",
                &long,
                Some("deflate"),
            ),
            ("refused", "gzip;q=0, deflate;q=0", &long, None),
            ("brotli only", "br", &long, None),
            ("identity", "identity", &long, None),
            ("short", "gzip", "x", None),
        ];
        for (name, accept, text, encoding) in rows {
            socket.emit("text", text).await.unwrap();
            let answer = bed
                .request(http::get(&polling.target, &[("Accept-Encoding", accept)]))
                .await;
            bed.check(name, answer.header("content-encoding"), encoding);
            let plain = format!("42[\"text\",\"{text}\"]");
            let body = match encoding {
                None => answer.body.clone(),
                Some("gzip") => inflate(flate2::read::GzDecoder::new(&answer.body[..])),
                Some(_) => inflate(flate2::read::ZlibDecoder::new(&answer.body[..])),
            };
            bed.check(name, String::from_utf8(body).unwrap(), plain);
        }
        socket.emit_uncompressed("text", &long).await.unwrap();
        let answer = bed
            .request(http::get(&polling.target, &[("Accept-Encoding", "gzip")]))
            .await;
        bed.check(
            "uncompressed by wish",
            answer.header("content-encoding"),
            None,
        );

        let mut bed = Bed::with(Server::builder().http_compression(None)).await;
        let polling = bed.polling().await;
        bed.socket().await.emit("text", &long).await.unwrap();
        let answer = bed
            .request(http::get(&polling.target, &[("Accept-Encoding", "gzip")]))
            .await;
        bed.check("switched off", answer.header("content-encoding"), None);
    });
}

fn inflate(mut reader: impl std::io::Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).expect("compressed data");
    bytes
}
