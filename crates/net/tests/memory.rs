//! The memory of idle connections, counted at the allocator of this process.
//!
//! Clients are plain blocking sockets of the test's own thread: all that is counted belongs to the server and its runtime.

use std::{
    alloc::System,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use kokanee_net::{Connection, Framing, NetError, TcpServer, TcpServerBuilder};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CONNECTIONS: usize = 1000;
const TIMEOUT: Duration = Duration::from_secs(10);

/// The number of allocated bytes, once it no longer changes.
fn settled_bytes() -> usize {
    let live = || {
        let stats = ALLOCATOR.stats();
        stats.bytes_allocated - stats.bytes_deallocated
    };
    let start = Instant::now();
    let (mut before, mut same) = (live(), 0);
    while same < 5 {
        assert!(start.elapsed() < TIMEOUT, "memory use does not settle");
        std::thread::sleep(Duration::from_millis(20));
        let now = live();
        same = if now == before { same + 1 } else { 0 };
        before = now;
    }
    before
}

/// A connection over which one message was sent in both directions.
fn open(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the server accepts");
    stream.set_read_timeout(Some(TIMEOUT)).expect("an option");
    stream.write_all(b"hello\n").expect("the server reads");
    let mut answer = [0; 6];
    stream.read_exact(&mut answer).expect("the server answers");
    assert_eq!(&answer, b"hello\n");
    stream
}

/// The bytes per idle connection of many, and per connection after all of them are closed.
fn cost<Fut>(
    builder: TcpServerBuilder,
    handler: impl Fn(Connection) -> Fut + Send + Sync + 'static,
) -> usize
where
    Fut: Future<Output = Result<(), NetError>> + Send + 'static,
{
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let server = runtime
        .block_on(builder.bind("127.0.0.1:0"))
        .expect("a free port");
    let (address, handle) = (server.local_addr(), server.handle());
    runtime.spawn(server.serve(handler));
    // The first connections also allocate the memory of the threads.
    let mut warm: Vec<_> = (0..50).map(|_| open(address)).collect();
    let mut clients = Vec::with_capacity(CONNECTIONS);
    let before = settled_bytes();
    clients.extend((0..CONNECTIONS).map(|_| open(address)));
    assert_eq!(handle.connection_count(), CONNECTIONS + 50);
    let each = (settled_bytes() - before) / CONNECTIONS;

    clients.clear();
    warm.clear();
    let start = Instant::now();
    while handle.connection_count() > 0 {
        assert!(start.elapsed() < TIMEOUT, "the connections end");
        std::thread::sleep(Duration::from_millis(10));
    }
    let left = settled_bytes().saturating_sub(before) / CONNECTIONS;
    assert!(left < 100, "{left} bytes are left of each connection");
    each
}

async fn echo(mut conn: Connection) -> Result<(), NetError> {
    while let Some(data) = conn.recv().await? {
        conn.send_all(&data).await?;
    }
    Ok(())
}

#[test]
fn an_idle_connection_costs_at_most_2_kib() {
    let each = cost(TcpServer::builder(), echo);
    println!("an idle connection: {each} bytes");
    assert!(each <= 2048, "{each} bytes");
}

#[test]
fn an_idle_connection_with_all_deadlines_costs_at_most_2_kib() {
    let builder = TcpServer::builder().with_limits(|limits| {
        limits.read_timeout = Some(Duration::from_secs(600));
        limits.idle_timeout = Some(Duration::from_secs(600));
    });
    let each = cost(builder, echo);
    println!("an idle connection with deadlines: {each} bytes");
    assert!(each <= 2048, "{each} bytes");
}

#[test]
fn an_idle_connection_with_a_framing_costs_at_most_2_kib() {
    let each = cost(TcpServer::builder(), async |conn: Connection| {
        let mut framed = conn.framed(Framing::Lines);
        while let Some(frame) = framed.next().await? {
            framed.send(&frame).await?;
        }
        Ok(())
    });
    println!("an idle connection with a framing: {each} bytes");
    assert!(each <= 2048, "{each} bytes");
}
