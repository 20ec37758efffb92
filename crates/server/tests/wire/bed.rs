//! What every test stands on: [`run`], a server that keeps a log of what its handlers saw ([`Bed`]), and [`Table`]s of
//! cases that share a shape.

use std::{
    collections::HashMap,
    fmt::{Debug, Write as _},
    future::Future,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use kokanee_server::{
    Ack, Args, DisconnectReason, EventName, Limits, Server, ServerBuilder, Socket,
};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::support::{LIMIT, Polling, Response, TestServer, WebSocket, eventually};

/// Between two packets of a payload.
pub(crate) const RS: &str = "\x1e";

/// Tests that measure the process hold it alone.
static PROCESS: RwLock<()> = RwLock::new(());

/// Runs one test.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let _process = PROCESS.read().unwrap_or_else(PoisonError::into_inner);
    block_on(test);
}

/// Runs one test while no other runs, because it measures memory or time.
pub(crate) fn run_alone(test: impl Future<Output = ()>) {
    let _process = PROCESS.write().unwrap_or_else(PoisonError::into_inner);
    block_on(test);
}

/// Runs one test on this thread alone, whose log goes to `subscriber`.
pub(crate) fn run_logged(
    subscriber: impl tracing::Subscriber + Send + Sync + 'static,
    test: impl Future<Output = ()>,
) {
    let _logged = tracing::subscriber::set_default(subscriber);
    run_on_one_thread(test);
}

/// Runs one test and its server on this thread alone: what it does between two waits happens in one moment for the server.
pub(crate) fn run_on_one_thread(test: impl Future<Output = ()>) {
    let _process = PROCESS.read().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(test);
}

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(test);
    runtime.shutdown_background();
}

/// A server whose handlers write down what they see.
///
/// On `/`: `echo` sends its arguments back (in the acknowledgement, if one is wanted), `bye` disconnects the client and
/// closes its connection.
#[derive(Debug)]
pub(crate) struct Bed {
    server: TestServer,
    log: Log,
    failures: Vec<String>,
}

impl Deref for Bed {
    type Target = TestServer;

    fn deref(&self) -> &TestServer {
        &self.server
    }
}

impl Bed {
    /// A server with the defaults.
    pub(crate) async fn new() -> Self {
        Self::with(Server::builder()).await
    }

    /// A server with other limits.
    pub(crate) async fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        Self::with(Server::builder().with_limits(change)).await
    }

    /// A server with settings.
    pub(crate) async fn with(builder: ServerBuilder) -> Self {
        let io = builder.build();
        let log = Log::default();
        log.listen(&io);
        io.on("echo", async |socket: Socket, args: Args, ack: Ack| {
            if ack.is_wanted() {
                ack.send_args(&args)
            } else {
                socket.emit_args("echo", &args).await
            }
        });
        io.on("bye", async |socket: Socket| socket.close_connection());
        let server = TestServer::start_with(io).await;
        Self {
            server,
            log,
            failures: Vec::new(),
        }
    }

    /// What the handlers of `/` have seen: `connect`, `event <name>`, `disconnect: <reason>`.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().clone()
    }

    /// Waits until the log has this line.
    #[track_caller]
    pub(crate) fn saw(&self, line: &str) -> impl Future<Output = ()> {
        let log = self.log.clone();
        let line = line.to_owned();
        let caller = std::panic::Location::caller();
        async move {
            let start = Instant::now();
            while !log.lock().contains(&line) {
                let seen = log.lock().clone();
                assert!(
                    start.elapsed() < LIMIT,
                    "{caller}: {line:?} is not in the log: {seen:?}"
                );
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// The reason with which the first socket of `/` has left, once it has.
    #[track_caller]
    pub(crate) fn reason(&self) -> impl Future<Output = String> {
        let log = self.log.clone();
        let find = move || {
            log.lock()
                .iter()
                .find_map(|line| Some(line.strip_prefix("disconnect: ")?.to_owned()))
        };
        let waiting = eventually("a socket has left", {
            let find = find.clone();
            move || find().is_some()
        });
        async move {
            waiting.await;
            find().expect("waited for above")
        }
    }

    /// Waits until there are this many sessions.
    #[track_caller]
    pub(crate) fn sessions(&self, count: usize) -> impl Future<Output = ()> {
        let io = self.server.io.clone();
        eventually("the number of sessions", move || {
            io.session_count() == count
        })
    }

    /// Opens a polling session that has joined `/`.
    pub(crate) async fn polling(&self) -> Polling {
        let mut polling = self.server.open_polling().await;
        let joined = polling.join().await;
        assert!(joined.starts_with("40{\"sid\":\""), "{joined}");
        polling
    }

    /// Opens a WebSocket session that has joined `/`.
    pub(crate) async fn joined(&self) -> WebSocket {
        let (mut websocket, _) = self.server.open_websocket().await;
        let joined = websocket.join().await;
        assert!(joined.starts_with("40{\"sid\":\""), "{joined}");
        websocket
    }

    /// The one socket of `/`.
    pub(crate) async fn socket(&self) -> Socket {
        let mut sockets = self.server.io.fetch_sockets().await;
        assert_eq!(sockets.len(), 1);
        sockets.remove(0)
    }

    /// One case of a table: notes whether a value is as expected. All that are not are reported in the end.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "what is expected is mostly made at the call"
    )]
    pub(crate) fn check<T: PartialEq + Debug>(
        &mut self,
        name: impl AsRef<str>,
        actual: T,
        expected: T,
    ) {
        if actual != expected {
            let name = name.as_ref();
            self.failures.push(format!(
                "{name}:\n    is       {actual:?}\n    expected {expected:?}"
            ));
        }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.failures.is_empty(), "{}", report(&self.failures));
        }
    }
}

/// What handlers saw, line by line.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, io: &Server) {
        let log = self.clone();
        io.on_connect(move |_: Socket| {
            log.lock().push("connect".to_owned());
            async {}
        });
        let log = self.clone();
        io.on_any(move |EventName(name): EventName| {
            log.lock().push(format!("event {name}"));
            async {}
        });
        let log = self.clone();
        io.on_disconnect(move |reason: DisconnectReason| {
            log.lock().push(format!("disconnect: {reason}"));
            async {}
        });
    }
}

/// Cases that each need more than a comparison. They run at the same time, a few at once; those that panic are reported
/// together, by name.
#[derive(Debug)]
pub(crate) struct Table {
    /// Cases that run at the same time.
    turns: Arc<Semaphore>,
    running: JoinSet<()>,
    names: HashMap<tokio::task::Id, String>,
    failures: Vec<String>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(16)),
            running: JoinSet::new(),
            names: HashMap::new(),
            failures: Vec::new(),
        }
    }
}

impl Table {
    /// Adds a case.
    pub(crate) fn case(
        &mut self,
        name: impl Into<String>,
        case: impl Future<Output = ()> + Send + 'static,
    ) {
        let turns = Arc::clone(&self.turns);
        let task = self.running.spawn(async move {
            let _turn = turns.acquire_owned().await;
            case.await;
        });
        self.names.insert(task.id(), name.into());
    }

    async fn join_one(&mut self) -> bool {
        let Some(joined) = self.running.join_next_with_id().await else {
            return false;
        };
        if let Err(error) = joined {
            let name = self.names.remove(&error.id()).unwrap_or_default();
            let panic = error.into_panic();
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("panic");
            self.failures.push(format!("{name}: {text}"));
        }
        true
    }

    /// Waits for all cases.
    pub(crate) async fn finish(mut self) {
        while self.join_one().await {}
        assert!(self.failures.is_empty(), "{}", report(&self.failures));
    }
}

fn report(failures: &[String]) -> String {
    let mut report = format!("{} cases failed:\n", failures.len());
    for failure in failures {
        let _ = writeln!(report, "  {failure}");
    }
    report
}

/// The JSON answer to a refused request.
pub(crate) fn error(code: u8) -> String {
    let message = [
        "Transport unknown",
        "Session ID unknown",
        "Bad handshake method",
        "Bad request",
        "Forbidden",
        "Unsupported protocol version",
    ][usize::from(code)];
    format!("{{\"code\":{code},\"message\":\"{message}\"}}")
}

/// Asserts that a session is gone: its id is unknown.
pub(crate) async fn assert_gone(bed: &Bed, polling: &Polling) {
    let answer = bed.get(&polling.target).await;
    assert_eq!(answer.brief(), (400, error(1)), "the session must be gone");
}

/// Asserts that a polling session that has joined `/` works.
pub(crate) async fn assert_alive(polling: &mut Polling) {
    polling.send("4277[\"echo\",\"alive\"]").await;
    assert_eq!(polling.poll().await, "4377[\"alive\"]");
}

/// Asserts that a WebSocket session that has joined `/` works.
pub(crate) async fn assert_websocket_alive(websocket: &mut WebSocket) {
    websocket.send("4277[\"echo\",\"alive\"]").await;
    assert_eq!(websocket.text_after_pings().await, "4377[\"alive\"]");
}

/// Asserts that an answer is a refusal of an ordinary request, header fields included.
pub(crate) fn is_json_error(response: &Response, code: u8) -> bool {
    response.brief() == (400, error(code))
        && response.header("content-type") == Some("application/json")
}

/// Resident memory of this process in bytes.
pub(crate) fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("VmRSS");
    let kibibytes: usize = line
        .split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .expect("a number");
    kibibytes * 1024
}
