//! GETs that break, answers that do not arrive, and the end of a session that must be fetched: nothing is lost and nothing
//! comes twice.

use std::time::Duration;

use ::http as http_types;
use kokanee_server::Body;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower_service::Service;

use crate::{
    bed::{Bed, RS, assert_alive, assert_gone, error, run, run_on_one_thread},
    support::http,
};

#[test]
fn an_aborted_get_loses_nothing() {
    run(async {
        for reset in [false, true] {
            let bed = Bed::new().await;
            let mut polling = bed.polling().await;
            for round in 0..10 {
                let mut http = bed.http().await;
                http.send(http::get(&polling.target, &[])).await;
                assert!(http.is_silent_for(Duration::from_millis(20)).await);
                if reset {
                    http.reset();
                    // The client cannot see that the server has noticed it.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                } else {
                    http.shutdown().await;
                    assert_eq!(http.end().await, b"", "the GET is aborted");
                }
                bed.socket().await.emit("n", round).await.unwrap();
                assert_eq!(polling.poll().await, format!("42[\"n\",{round}]"));
            }
            assert_eq!(bed.log(), ["connect"]);
            assert_alive(&mut polling).await;
        }
    });
}

#[test]
fn a_get_is_also_aborted_if_the_next_request_is_there() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        let mut http = bed.http().await;
        http.send(http::get(&polling.target, &[]).repeat(2)).await;
        assert!(http.is_silent_for(Duration::from_millis(20)).await);
        http.shutdown().await;
        assert_eq!(http.end().await, b"", "the GET is aborted");
        bed.socket().await.emit("n", 1).await.unwrap();
        assert_eq!(polling.poll().await, "42[\"n\",1]");
        assert_alive(&mut polling).await;
    });
}

/// As `nc -N` does.
#[test]
fn a_client_that_has_ended_its_stream_gets_the_answer_to_anything_else() {
    run(async {
        let bed = Bed::new().await;
        bed.io.serve_static("/file", "Cargo.toml");
        let polling = bed.polling().await;
        let rows = [
            (http::get("/other", &[]), 404, ""),
            (http::get("/file", &[]), 200, "kokanee-server"),
            (
                http::get("/socket.io/?EIO=4&transport=polling", &[]),
                200,
                "0{",
            ),
            (http::post(&polling.target, &[], b"42[\"echo\"]"), 200, "ok"),
        ];
        for (request, status, text) in rows {
            let mut http = bed.http().await;
            http.send(request).await;
            http.shutdown().await;
            let answer = http.response().await;
            assert_eq!(answer.status, status);
            assert!(answer.text().contains(text), "{answer:?}");
            assert_eq!(http.end().await, b"", "the end");
        }
    });
}

#[test]
fn answers_that_a_client_does_not_take_are_not_lost_however_many_there_are() {
    run(async {
        let padding = "x".repeat(2000);
        // With a body that comes in two parts, hyper goes on to the next request before an answer has left.
        for parts in [["", ""], ["x", "y"]] {
            let bed = Bed::new().await;
            let mut polling = bed.polling().await;
            let socket = bed.socket().await;
            // A pipe instead of TCP, because its buffer is known: no answer fits.
            let (mut client, stream) = tokio::io::duplex(512);
            let io = bed.io.clone();
            let served = tokio::spawn(async move { io.serve_stream(stream, None).await });
            let head = format!(
                "GET {} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
                polling.target,
                parts.concat().len()
            );
            for n in 0..3 {
                client.write_all(head.as_bytes()).await.unwrap();
                client.write_all(parts[0].as_bytes()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
                client.write_all(parts[1].as_bytes()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
                socket.emit("n", (n, &padding)).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            // An answer is on its way.
            let mut begun = [0; 15];
            client.read_exact(&mut begun).await.unwrap();
            assert_eq!(&begun, b"HTTP/1.1 200 OK");
            drop(client);
            served.await.unwrap();
            let packet = |n| format!("42[\"n\",{n},\"{padding}\"]");
            let expected = [packet(0), packet(1), packet(2)].join(RS);
            assert_eq!(polling.poll().await, expected, "{parts:?}");
            assert_eq!(bed.log(), ["connect"]);
        }
    });
}

/// A GET as a host of the server makes it.
fn hosted_get(bed: &Bed, target: &str) -> impl Future<Output = http_types::Response<Body>> {
    let request = http_types::Request::get(target)
        .header("host", "x")
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .expect("a request");
    let answer = bed.io.clone().call(request);
    async { answer.await.expect("infallible") }
}

#[test]
fn what_is_sent_in_the_moment_in_which_a_get_is_given_up_is_not_lost() {
    run_on_one_thread(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        let socket = bed.socket().await;
        let mut get = Box::pin(hosted_get(&bed, &polling.target));
        let waits = tokio::time::timeout(Duration::from_millis(50), &mut get).await;
        assert!(waits.is_err(), "the GET was answered at once");
        socket.emit("bye", 1).await.unwrap();
        socket.close_connection();
        drop(get);
        assert_eq!(polling.poll().await, format!("42[\"bye\",1]{RS}41"));
    });
}

#[test]
fn an_answer_that_is_dropped_by_its_host_goes_back() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        let socket = bed.socket().await;
        socket.emit("n", 1).await.unwrap();
        let answer = hosted_get(&bed, &polling.target).await;
        assert_eq!(answer.status(), 200);
        drop(answer);
        assert_eq!(polling.poll().await, "42[\"n\",1]");
    });
}

#[test]
fn answers_that_are_not_taken_count_for_the_limit() {
    run(async {
        let bed = Bed::limited(|limits| limits.max_outbound_bytes = 64 * 1024).await;
        let polling = bed.polling().await;
        let large = "x".repeat(40 * 1024);
        let mut answers = Vec::new();
        // One on its way may be of any size, two are more than the limit.
        for _ in 0..3 {
            let get = hosted_get(&bed, &polling.target);
            bed.io.emit("n", &large).await.unwrap();
            answers.push(get.await);
        }
        assert_eq!(bed.reason().await, "slow consumer");
        drop(answers);
    });
}

#[test]
fn answers_that_have_left_do_not_count_for_the_limit() {
    run(async {
        let bed = Bed::limited(|limits| limits.max_outbound_bytes = 64 * 1024).await;
        let mut polling = bed.polling().await;
        let large = "x".repeat(40 * 1024);
        for _ in 0..5 {
            bed.io.emit("n", &large).await.unwrap();
            assert_eq!(polling.poll().await, format!("42[\"n\",\"{large}\"]"));
        }
        assert_eq!(bed.log(), ["connect"]);
    });
}

#[test]
fn nothing_is_lost_or_doubled_when_gets_break_at_any_time() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        let socket = bed.socket().await;
        let emitter = tokio::spawn(async move {
            for n in 0..300 {
                socket.emit("n", n).await.unwrap();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        let mut got: Vec<String> = Vec::new();
        let mut round = 0;
        while got.last().is_none_or(|last| last != "42[\"n\",299]") {
            round += 1;
            assert!(round < 2000);
            if round % 2 == 0 {
                let mut http = bed.http().await;
                http.send(http::get(&polling.target, &[])).await;
                tokio::time::sleep(Duration::from_micros(round * 37 % 900)).await;
                // Half closed: what the server has sent before it saw that is read, so the two agree on it.
                http.shutdown().await;
                if let Some(answer) = http.try_response().await {
                    assert_eq!(answer.status, 200, "round {round}: {answer:?}");
                    got.extend(answer.text().split(RS).map(str::to_owned));
                }
                continue;
            }
            let answer = polling.get().await;
            assert_eq!(answer.status, 200, "round {round}: {answer:?}");
            got.extend(answer.text().split(RS).map(str::to_owned));
        }
        emitter.await.unwrap();
        let expected: Vec<String> = (0..300).map(|n| format!("42[\"n\",{n}]")).collect();
        assert_eq!(got, expected);
    });
}

#[test]
fn a_close_by_the_server_is_fetched_in_order() {
    run(async {
        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        polling.send("42[\"bye\"]").await;
        assert_eq!(bed.reason().await, "server namespace disconnect");
        assert_eq!(polling.poll().await, "41");
        let answer = polling.post("42[\"late\"]").await;
        assert_eq!(
            answer.brief(),
            (400, error(3)),
            "a POST while the end waits"
        );
        assert_eq!(polling.poll().await, format!("6{RS}1"));
        assert_gone(&bed, &polling).await;
        assert_eq!(
            bed.log(),
            [
                "connect",
                "event bye",
                "disconnect: server namespace disconnect"
            ]
        );

        let bed = Bed::new().await;
        let mut polling = bed.polling().await;
        polling.pending_poll().await;
        polling.send("42[\"bye\"]").await;
        assert_eq!(polling.answer().await.text(), "41");
        assert_eq!(polling.poll().await, format!("6{RS}1"));
        assert_gone(&bed, &polling).await;
    });
}

#[test]
fn a_close_that_nobody_fetches_is_forgotten() {
    run(async {
        let bed = Bed::limited(|limits| limits.close_timeout = Duration::from_millis(200)).await;
        let mut polling = bed.polling().await;
        polling.send("42[\"bye\"]").await;
        assert_eq!(bed.reason().await, "server namespace disconnect");
        bed.sessions(0).await;
        assert_gone(&bed, &polling).await;
    });
}
