//! Workers in one folder, each with its own end of everything.

use std::{
    fs,
    io::{Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use kokanee_socketio::Args;
use kokanee_workers::{
    Forwarded, Handed, Head, MOST_FRAME_BYTES, Member, Mesh, Message, Passed, Place, Worker,
    encode_event,
};
use tokio::{runtime::Handle, sync::mpsc};

/// A folder that is removed at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "kokanee-test-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).expect("a new folder");
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a worker has got.
#[derive(Debug)]
enum Got {
    Message(Worker, Message),
    Request(Box<Passed>),
    Back(Box<Passed>),
    Forgotten(Worker),
    Trouble(String),
}

struct Log(mpsc::UnboundedSender<Got>);

impl Member for Log {
    fn handle(&self, _: &Mesh, from: Worker, message: Message) {
        let _ = self.0.send(Got::Message(from, message));
    }

    fn answer(&self, passed: Box<Passed>) {
        let _ = self.0.send(Got::Request(passed));
    }

    fn take_back(&self, passed: Box<Passed>) {
        let _ = self.0.send(Got::Back(passed));
    }

    fn forget(&self, worker: Worker) {
        let _ = self.0.send(Got::Forgotten(worker));
    }

    fn report(&self, text: String) {
        let _ = self.0.send(Got::Trouble(text));
    }
}

struct Bed {
    mesh: Mesh,
    got: mpsc::UnboundedReceiver<Got>,
}

impl Bed {
    fn join(folder: &Path) -> Self {
        let place = Place::take(folder).expect("a place");
        let (sender, got) = mpsc::unbounded_channel();
        let mesh = Mesh::start(place, Arc::new(Log(sender)), &Handle::current()).expect("a mesh");
        Self { mesh, got }
    }

    async fn next(&mut self) -> Got {
        let next = tokio::time::timeout(Duration::from_secs(10), self.got.recv());
        next.await.expect("something comes").expect("it is there")
    }

    /// Waits until it is connected with so many others.
    async fn knows(&self, others: usize) {
        for _ in 0..1000 {
            if self.mesh.other_workers() == others {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} others, not {others}", self.mesh.other_workers());
    }
}

fn event(name: &str) -> Bytes {
    encode_event(None, name, "/", &[], &[], &Args::none())
}

fn name_of(got: Got) -> String {
    match got {
        Got::Message(_, Message::Emit(emitted)) => emitted.event,
        other => panic!("{other:?}"),
    }
}

fn request(unread: &[u8]) -> Forwarded {
    Forwarded {
        handed: Handed::Request,
        head: Head {
            method: "GET".to_owned(),
            target: "/socket.io/?EIO=4".to_owned(),
            headers: Vec::new(),
            address: None,
            secure: false,
        },
        body: 0,
        unread: unread.to_vec(),
    }
}

fn passed(unread: &[u8]) -> (UnixStream, Box<Passed>) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let passed = Passed {
        forwarded: request(unread),
        connection: OwnedFd::from(theirs),
    };
    (ours, Box::new(passed))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_worker_meets_all_others_and_hears_them_in_order() {
    let folder = Folder::new();
    let mut workers: Vec<Bed> = (0..4).map(|_| Bed::join(&folder.0)).collect();
    for worker in &workers {
        worker.knows(3).await;
    }
    // The socket, and each direction with each of the others.
    for _ in 0..1000 {
        if workers[0].mesh.descriptors().len() < 7 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert_eq!(workers[0].mesh.descriptors().len(), 7);
    for number in 0..1000 {
        let sent = workers[0].mesh.send_to_all(&event(&number.to_string()));
        assert_eq!(sent.len(), 3);
    }
    let sender = workers[0].mesh.worker();
    for worker in &mut workers[1..] {
        for number in 0..1000 {
            let got = worker.next().await;
            assert!(matches!(&got, Got::Message(from, _) if *from == sender));
            assert_eq!(name_of(got), number.to_string());
        }
    }
    assert!(workers[0].got.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_larger_than_the_sockets_buffer_come_whole_and_in_order() {
    let folder = Folder::new();
    let (one, mut other) = (Bed::join(&folder.0), Bed::join(&folder.0));
    one.knows(1).await;
    other.knows(1).await;
    let name = |number: usize| {
        number
            .to_string()
            .repeat(if number.is_multiple_of(3) { 200_000 } else { 1 })
    };
    for round in 0..5 {
        for number in 0..12 {
            assert!(one.mesh.send(other.mesh.worker(), event(&name(number))));
        }
        for number in 0..12 {
            assert!(
                name_of(other.next().await) == name(number),
                "{round} {number}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_comes_with_its_connection_among_messages() {
    let folder = Folder::new();
    let (one, mut two) = (Bed::join(&folder.0), Bed::join(&folder.0));
    let link = one.mesh.link(two.mesh.worker()).expect("a link");
    let mut ours = Vec::new();
    for number in 0..200_u8 {
        let (end, passed) = passed(&vec![number; usize::from(number) * 1000]);
        link.pass(passed).expect("there is room");
        one.mesh.send(two.mesh.worker(), event(&number.to_string()));
        ours.push(end);
    }
    for (number, mut end) in (0..200_u8).zip(ours) {
        let Got::Request(passed) = two.next().await else {
            panic!("not a request");
        };
        assert_eq!(
            passed.forwarded.unread,
            vec![number; usize::from(number) * 1000]
        );
        let mut theirs = UnixStream::from(passed.connection);
        theirs.write_all(&[number]).expect("written");
        let mut read = [0];
        end.read_exact(&mut read).expect("read");
        assert_eq!(read, [number]);
        assert_eq!(name_of(two.next().await), number.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_leaves_is_forgotten_and_takes_its_socket_along() {
    let folder = Folder::new();
    let (mut one, two) = (Bed::join(&folder.0), Bed::join(&folder.0));
    one.knows(1).await;
    let gone = two.mesh.worker();
    two.mesh.leave();
    assert_eq!(fs::read_dir(&folder.0).expect("a folder").count(), 1);
    // Those that know it still reach it.
    assert!(one.mesh.send(gone, event("last")));
    two.mesh.close();
    assert!(matches!(one.next().await, Got::Forgotten(worker) if worker == gone));
    one.knows(0).await;
    assert!(one.mesh.link(gone).is_none());
    one.mesh.close();
    assert!(!folder.0.exists(), "the last one removes the folder");
}

// On one thread, so that the link has not found out yet when the request is given to it.
#[tokio::test]
async fn the_socket_of_a_killed_worker_is_removed_and_its_request_comes_back() {
    let folder = Folder::new();
    let mut one = Bed::join(&folder.0);
    // What a killed process leaves.
    drop(std::os::unix::net::UnixListener::bind(folder.0.join("00000a")).expect("a socket"));
    let link = one.mesh.link([0, 0, 10]).expect("its socket is there");
    let (_end, passed) = passed(b"mine");
    link.pass(passed).expect("there is room");
    let Got::Back(back) = one.next().await else {
        panic!("not the request");
    };
    assert_eq!(back.forwarded.unread, b"mine");
    assert!(matches!(one.next().await, Got::Forgotten([0, 0, 10])));
    assert!(!folder.0.join("00000a").exists());
    assert!(one.mesh.link([0, 0, 10]).is_none());
    // It is known now that there is none.
    one.mesh.pass([0, 0, 10], back);
    assert!(matches!(one.next().await, Got::Back(_)));
}

#[tokio::test]
async fn requests_that_a_worker_does_not_take_come_back_beyond_a_limit_of_bytes() {
    let folder = Folder::new();
    let one = Bed::join(&folder.0);
    // It takes connections, and nobody reads them.
    let _deaf = std::os::unix::net::UnixListener::bind(folder.0.join("0000fe")).expect("a socket");
    let link = one.mesh.link([0, 0, 254]).expect("its socket is there");
    let mut sent = 0;
    let back = loop {
        let (_end, passed) = passed(&vec![0; 4_000_000]);
        if let Err(back) = link.pass(passed) {
            break back;
        }
        sent += 1;
        tokio::task::yield_now().await;
        assert!(sent < 20, "no limit");
    };
    assert_eq!(back.forwarded.unread.len(), 4_000_000);
    assert!(sent >= 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_messages_close_the_connection_and_harm_nobody() {
    let folder = Folder::new();
    let mut one = Bed::join(&folder.0);
    let [a, b, c] = one.mesh.worker();
    let path = folder.0.join(format!("{a:02x}{b:02x}{c:02x}"));
    let hello = Message::Hello([1, 2, 3]).encode();
    let a_request_without_its_connection =
        [&hello[..], &Message::Request(request(b"")).encode()].concat();
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![255; 100],
        event("without a hello").to_vec(),
        [&hello[..], &[0, 0, 0, 1, 99]].concat(),
        a_request_without_its_connection,
    ] {
        let mut stream = UnixStream::connect(&path).expect("it listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a timeout");
        stream.write_all(&bytes).expect("written");
        assert_eq!(stream.read(&mut [0; 10]).ok(), Some(0), "{bytes:?}");
    }
    assert!(one.got.try_recv().is_err());
    let mut two = Bed::join(&folder.0);
    one.knows(1).await;
    one.mesh.send_to_all(&event("all is well"));
    assert_eq!(name_of(two.next().await), "all is well");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_to_a_worker_that_takes_none_are_lost_with_a_report_and_it_is_called_again() {
    let folder = Folder::new();
    let mut one = Bed::join(&folder.0);
    // A worker that has stopped: its socket takes connections, and nobody reads them.
    let deaf = std::os::unix::net::UnixListener::bind(folder.0.join("0000ff")).expect("a socket");
    one.mesh.link([0, 0, 255]).expect("its socket is there");
    let args = Args::from_json(
        format!("[\"{}\"]", "x".repeat(1_000_000)).into_bytes(),
        Vec::new(),
    );
    let large = encode_event(None, "large", "/", &[], &[], &args.expect("JSON"));
    let mut sent = 0;
    while one.mesh.send([0, 0, 255], large.clone()) {
        sent += 1;
        assert!(sent < 100, "without a bound");
    }
    assert!(matches!(one.next().await, Got::Trouble(text) if text.contains("0000ff")));
    assert!(matches!(one.next().await, Got::Forgotten([0, 0, 255])));
    let (first, _) = deaf.accept().expect("the first connection");
    let (_second, _) = deaf.accept().expect("it is called again");
    drop(first);
    let huge = Bytes::from(vec![0; MOST_FRAME_BYTES + 1]);
    one.knows(1).await;
    assert!(!one.mesh.send([0, 0, 255], huge));
    assert!(matches!(one.next().await, Got::Trouble(text) if text.contains("too large")));
}
