//! x
use crate::bed::*;
#[test]
fn dbg1() {
    run(async {
        let bed = Bed::limited(|limits| {
            limits.ping_interval = std::time::Duration::from_millis(400);
            limits.ping_timeout = std::time::Duration::from_millis(400);
        }).await;
        let mut a = bed.open_polling().await;
        for _ in 0..4 { tokio::time::sleep(std::time::Duration::from_millis(500)).await; println!("poll {}", bed.io.session_count()); }
        let (b,_) = bed.open_websocket().await;
        for _ in 0..4 { tokio::time::sleep(std::time::Duration::from_millis(500)).await; println!("ws {}", bed.io.session_count()); }
        drop(b);
        let mut a = bed.open_polling().await;
        a.join().await;
        for _ in 0..4 { tokio::time::sleep(std::time::Duration::from_millis(500)).await; println!("joined {}", bed.io.session_count()); }
        bed.get("/socket.io/?EIO=4&transport=polling").await;
        for _ in 0..4 { tokio::time::sleep(std::time::Duration::from_millis(500)).await; println!("joined {}", bed.io.session_count()); }
        panic!();
    });
}
