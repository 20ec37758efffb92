//! Runs against a small server in the same process: exact counts, and what ends a run.

#![allow(
    clippy::unwrap_used,
    reason = "all of this file is test code, functions without #[test] included"
)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use kokanee_bench::{Bound, Error, Options, Progress, Relay, Report, Scenario, Violation, run};
use kokanee_client::{Client, Transport};
use kokanee_websocket::accept_key;

const OPEN: &str =
    r#"0{"sid":"abc","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;

/// How the server treats events.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Answers,
    /// Does not answer the event with this number, counted over all connections from 0.
    Swallows(usize),
    /// Closes the connection that sends the event with this number.
    Closes(usize),
    /// Refuses as many connections after so many.
    Refuses {
        after: usize,
        count: usize,
    },
}

struct Server {
    manner: Manner,
    events: AtomicUsize,
    handshakes: AtomicUsize,
    sockets: Mutex<Vec<TcpStream>>,
}

/// Starts a server that serves until the process ends, and returns its URL.
fn serve(manner: Manner) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = Arc::new(Server {
        manner,
        events: AtomicUsize::new(0),
        handshakes: AtomicUsize::new(0),
        sockets: Mutex::default(),
    });
    thread::spawn(move || {
        for stream in listener.incoming() {
            let server = Arc::clone(&server);
            thread::spawn(move || server.connection(stream.unwrap()));
        }
    });
    url
}

impl Server {
    fn connection(&self, mut stream: TcpStream) -> Option<()> {
        let mut input = Vec::new();
        let mut replies = vec![OPEN.to_owned()];
        loop {
            let head = read_until_head_ends(&mut stream, &mut input)?;
            if head.contains("transport=websocket") {
                return self.websocket(&head, stream, input);
            }
            let length = head.split("Content-Length: ").nth(1);
            let length = length.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
            let body = read_exact(&mut stream, &mut input, length)?;
            let answer = if head.starts_with("POST ") {
                for packet in String::from_utf8(body).unwrap().split('\u{1e}') {
                    match packet {
                        "40" => replies.push(r#"40{"sid":"def"}"#.into()),
                        packet => replies.push(packet.to_owned()),
                    }
                }
                "ok".to_owned()
            } else {
                std::mem::take(&mut replies).join("\u{1e}")
            };
            let length = answer.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{answer}"
            )
            .ok()?;
        }
    }

    fn websocket(&self, head: &str, mut stream: TcpStream, mut input: Vec<u8>) -> Option<()> {
        let number = self.handshakes.fetch_add(1, Ordering::Relaxed);
        if let Manner::Refuses { after, count } = self.manner
            && (after..after + count).contains(&number)
        {
            return None;
        }
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        let key = fields.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
        let accept = accept_key(key?.1.as_bytes());
        write!(
            stream,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .ok()?;
        send(&mut stream, OPEN)?;
        loop {
            let header = read_exact(&mut stream, &mut input, 2)?;
            let length = match header[1] & 0x7f {
                126 => {
                    let length = read_exact(&mut stream, &mut input, 2)?;
                    usize::from(u16::from_be_bytes([length[0], length[1]]))
                }
                length => usize::from(length),
            };
            let mask = read_exact(&mut stream, &mut input, 4)?;
            let mut payload = read_exact(&mut stream, &mut input, length)?;
            for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
                *byte ^= mask;
            }
            let Ok(packet) = String::from_utf8(payload) else {
                // The code of a close frame.
                return None;
            };
            if packet == "40" {
                self.sockets
                    .lock()
                    .unwrap()
                    .push(stream.try_clone().unwrap());
                send(&mut stream, r#"40{"sid":"def"}"#)?;
                send(&mut stream, "2")?;
            }
            if !packet.starts_with("42") {
                continue;
            }
            let number = self.events.fetch_add(1, Ordering::Relaxed);
            match self.manner {
                Manner::Swallows(swallowed) if number == swallowed => continue,
                Manner::Closes(closed) if number == closed => {
                    return stream.shutdown(Shutdown::Both).ok();
                }
                _ => {}
            }
            if packet.starts_with(r#"42["blast","#) {
                for socket in self.sockets.lock().unwrap().iter_mut() {
                    send(socket, &packet)?;
                }
            } else if let Some(text) = packet.strip_prefix(r#"42["broadcast","#) {
                let sender = stream.peer_addr().ok();
                for socket in self.sockets.lock().unwrap().iter_mut() {
                    if socket.peer_addr().ok() != sender {
                        send(socket, &format!("42[{text}"))?;
                    }
                }
            } else if let Some((id, _)) = packet[2..].split_once('[')
                && !id.is_empty()
            {
                send(&mut stream, &format!("43{id}[]"))?;
            } else {
                send(&mut stream, r#"42["clock",{"time":1}]"#)?;
                send(&mut stream, &packet)?;
            }
        }
    }
}

fn send(stream: &mut TcpStream, packet: &str) -> Option<()> {
    let mut frame = vec![0x81];
    match u8::try_from(packet.len()) {
        Ok(length @ 0..=125) => frame.push(length),
        _ => {
            frame.push(126);
            frame.extend(u16::try_from(packet.len()).unwrap().to_be_bytes());
        }
    }
    frame.extend(packet.as_bytes());
    stream.write_all(&frame).ok()
}

fn read_more(stream: &mut TcpStream, input: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
    input.extend(&buffer[..count]);
    Some(())
}

fn read_exact(stream: &mut TcpStream, input: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    while input.len() < length {
        read_more(stream, input)?;
    }
    Some(input.drain(..length).collect())
}

fn read_until_head_ends(stream: &mut TcpStream, input: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(at) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            return Some(String::from_utf8(input.drain(..at + 4).collect()).unwrap());
        }
        read_more(stream, input)?;
    }
}

/// Small numbers, so that a run takes milliseconds.
fn options(url: String, scenario: Scenario) -> Options {
    Options {
        connections: 5,
        payload: 200,
        bound: Bound::Messages(50),
        warmup: Duration::ZERO,
        stall: Duration::from_millis(300),
        hold: Duration::from_millis(50),
        ..Options::new(url, scenario)
    }
}

/// The same with Kokanee's client.
fn clients(url: String, scenario: Scenario) -> Options {
    let client = Client::builder(&url)
        .transports([Transport::WebSocket])
        .reconnection_delay(Duration::from_millis(20));
    Options {
        client: Some(client),
        ..options(url, scenario)
    }
}

/// Both generators, each with a server of its own.
fn each(manner: Manner, scenario: Scenario) -> [Options; 2] {
    [
        options(serve(manner), scenario),
        clients(serve(manner), scenario),
    ]
}

fn quietly(options: &Options) -> Result<Report, Error> {
    run(options, &mut |_| ControlFlow::Continue(()))
}

#[test]
fn count_of_echoes_is_exact() {
    for options in each(Manner::Answers, Scenario::Echo) {
        let report = quietly(&Options {
            window: 4,
            ..options
        })
        .unwrap();
        assert_eq!((report.messages, report.latency.count), (50, 50));
        assert_eq!((report.out_of_order, report.unexpected), (0, 50));
        assert!(report.latency.min > 0.0 && report.latency.max >= report.latency.p99);
    }
}

#[test]
fn acknowledgements_are_counted_as_echoes() {
    for options in each(Manner::Answers, Scenario::Echo) {
        let report = quietly(&Options {
            window: 4,
            event: "chat".into(),
            ack: true,
            ..options
        })
        .unwrap();
        assert_eq!((report.messages, report.latency.count), (50, 50));
        assert_eq!((report.out_of_order, report.unexpected), (0, 0));
    }
}

#[test]
fn the_timeline_adds_up_to_the_whole() {
    for options in each(Manner::Answers, Scenario::Echo) {
        let options = Options {
            bound: Bound::Time(Duration::from_millis(100)),
            interval: Duration::from_millis(20),
            pid: cfg!(target_os = "linux").then(std::process::id),
            ..options
        };
        let mut live = 0;
        let report = run(&options, &mut |progress| {
            live += usize::from(matches!(progress, Progress::Interval(_)));
            ControlFlow::Continue(())
        })
        .unwrap();
        let samples = &report.timeline;
        assert!(
            samples.len() >= live && live >= 2,
            "{live} of {}",
            samples.len()
        );
        let messages: u64 = samples.iter().map(|sample| sample.messages).sum();
        let latencies: u64 = samples.iter().map(|sample| sample.latency.count).sum();
        assert!(report.messages - messages <= report.messages / 2);
        assert_eq!(messages, latencies);
        assert!(samples.iter().all(|sample| sample.open == 5));
        if cfg!(target_os = "linux") {
            assert!(
                samples
                    .iter()
                    .all(|sample| sample.memory.unwrap() > 0 && sample.cpu.is_some())
            );
        }
        assert_eq!(
            report.distribution.first().map(|point| point.quantile),
            Some(0.0)
        );
    }
}

#[test]
fn a_storm_brings_every_connection_back_in_each_wave() {
    for options in each(Manner::Answers, Scenario::Storm) {
        let options = Options {
            waves: 2,
            spread: Duration::from_millis(20),
            ..options
        };
        let mut cuts = Vec::new();
        let report = run(&options, &mut |progress| {
            if let Progress::Cut { wave, waves } = progress {
                cuts.push((wave, waves));
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(cuts, [(1, 2), (2, 2)]);
        assert_eq!((report.messages, report.latency.count), (10, 10));
        assert_eq!((report.failures, report.waves.len()), (0, 2));
        assert!(report.waves.iter().all(|wave| wave.latency.count == 5));
        let messages: u64 = report.timeline.iter().map(|sample| sample.messages).sum();
        assert_eq!(messages, 10);
    }
}

#[test]
fn attempts_that_fail_in_a_storm_are_counted_and_repeated() {
    for options in each(Manner::Refuses { after: 5, count: 3 }, Scenario::Storm) {
        let report = quietly(&Options {
            waves: 1,
            stall: Duration::from_secs(10),
            ..options
        })
        .unwrap();
        assert_eq!((report.messages, report.failures), (5, 3));
        assert_eq!(report.waves[0].failures, 3);
    }
}

#[test]
fn every_delivery_of_a_broadcast_is_counted() {
    for options in each(Manner::Answers, Scenario::Broadcast) {
        let options = Options {
            window: 3,
            ..options
        };
        let report = quietly(&options).unwrap();
        assert_eq!((report.messages, report.latency.count), (250, 50));
        assert_eq!((report.out_of_order, report.unexpected), (0, 0));
    }
}

#[test]
fn relayed_broadcast_has_one_recipient_less() {
    for options in each(Manner::Answers, Scenario::Broadcast) {
        let options = Options {
            relay: Relay::Broadcast,
            ..options
        };
        assert_eq!(quietly(&options).unwrap().messages, 200);
    }
}

#[test]
fn polling_cycles_are_counted() {
    let report = quietly(&options(serve(Manner::Answers), Scenario::Polling)).unwrap();
    assert_eq!(
        (report.messages, report.out_of_order, report.unexpected),
        (50, 0, 0)
    );
}

#[test]
fn connections_are_counted() {
    for options in each(Manner::Answers, Scenario::Connect) {
        let report = quietly(&options).unwrap();
        assert_eq!((report.messages, report.latency.count), (5, 5));
    }
}

#[test]
fn idle_connections_are_held() {
    for options in each(Manner::Answers, Scenario::Idle) {
        let options = Options {
            burst: 2,
            ..options
        };
        assert_eq!(quietly(&options).unwrap().messages, 5);
    }
}

#[test]
fn load_may_be_bounded_by_time_after_a_warmup() {
    for options in each(Manner::Answers, Scenario::Echo) {
        let options = Options {
            bound: Bound::Time(Duration::from_millis(50)),
            warmup: Duration::from_millis(20),
            ..options
        };
        let report = quietly(&options).unwrap();
        assert!(report.messages > 0 && report.messages == report.latency.count);
        assert!((0.05..1.0).contains(&report.elapsed_seconds));
    }
}

#[test]
fn lost_message_ends_the_run() {
    for options in each(Manner::Swallows(7), Scenario::Echo) {
        let options = Options {
            window: 2,
            ..options
        };
        let error = quietly(&options).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Stalled {
                    received: 49,
                    missing: 1,
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn lost_connection_ends_the_run() {
    for options in each(Manner::Closes(20), Scenario::Echo) {
        let error = quietly(&options).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Violation {
                    violation: Violation::Eof | Violation::Lost { .. },
                    ..
                } | Error::Connection { .. }
            ),
            "{error}"
        );
    }
}

#[test]
fn callback_ends_the_load_early() {
    for options in each(Manner::Answers, Scenario::Echo) {
        let options = Options {
            bound: Bound::Time(Duration::from_secs(60)),
            ..options
        };
        let mut seen = Vec::new();
        let report = run(&options, &mut |progress| {
            seen.push(progress);
            match progress {
                Progress::Running { .. } => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        })
        .unwrap();
        assert!(report.messages > 0 && report.elapsed_seconds < 10.0);
        assert_eq!(seen.last(), Some(&Progress::Finished));
    }
}

#[test]
fn options_out_of_range_are_refused() {
    let refused = |change: fn(&mut Options)| {
        let mut options = options("http://127.0.0.1:1".into(), Scenario::Echo);
        change(&mut options);
        matches!(quietly(&options), Err(Error::Range { .. }))
    };
    assert!(refused(|options| options.connections = 0));
    assert!(refused(|options| options.window = 0));
    assert!(refused(|options| options.payload = 7));
}

#[test]
fn refused_connection_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for options in [
        options(url.clone(), Scenario::Echo),
        clients(url, Scenario::Echo),
    ] {
        let error = quietly(&options).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Connection { connection: 0, .. } | Error::Connect { connection: 0, .. }
            ),
            "{error}"
        );
    }
}
