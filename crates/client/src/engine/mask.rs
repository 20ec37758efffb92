//! Keys that mask the frames of a client. Spec: RFC 6455 5.3, fresh and unpredictable for each frame.

use std::cell::RefCell;

use kokanee_websocket::MaskKey;

/// Random bytes that a thread fetches at a time.
const POOL_BYTES: usize = 1024;

struct Pool {
    bytes: [u8; POOL_BYTES],
    used: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const {
        RefCell::new(Pool {
            bytes: [0; POOL_BYTES],
            used: POOL_BYTES,
        })
    };
}

/// A fresh key.
pub(crate) fn mask_key() -> MaskKey {
    POOL.with_borrow_mut(|pool| {
        if pool.used + 4 > POOL_BYTES {
            if let Err(error) = getrandom::fill(&mut pool.bytes) {
                // Masking protects proxies from scripts of web pages, which there are none of here: a weak key does no harm.
                tracing::warn!(%error, "no random bytes for mask keys");
            }
            pool.used = 0;
        }
        let key = pool.bytes[pool.used..pool.used + 4].first_chunk().copied();
        pool.used += 4;
        key.unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ() {
        let keys: std::collections::HashSet<_> = (0..1000).map(|_| mask_key()).collect();
        assert!(keys.len() > 990);
    }
}
