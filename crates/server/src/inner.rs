//! The state that all handles of a server share: its settings, its namespaces, its sessions.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use http::{Extensions, request::Parts};
use kokanee_engineio::{Record, SessionConfig, Transport};
use kokanee_handler::States;
use kokanee_socketio::ConnectionConfig;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::{
    client_bundle::ClientBundle,
    clock,
    cookie::Cookie,
    cors::Cors,
    error::ListenError,
    forwarded::TrustedProxy,
    limits::Limits,
    mailbox::Mailbox,
    namespace::Namespace,
    recovery::Recovery,
    sessions::{Sessions, TaskGuard},
    static_files::StaticFiles,
    throttle::Throttle,
};

type AllowFuture = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// The hook with which the application decides about a new session.
#[derive(Clone)]
pub(crate) struct AllowRequest(Arc<dyn Fn(Parts) -> AllowFuture + Send + Sync>);

impl AllowRequest {
    pub(crate) fn new<F, Fut>(hook: F) -> Self
    where
        F: Fn(Parts) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self(Arc::new(move |parts| Box::pin(hook(parts))))
    }

    pub(crate) fn ask(&self, parts: Parts) -> AllowFuture {
        (self.0)(parts)
    }
}

/// The state that all handles of a server share.
pub(crate) struct ServerInner {
    /// With a leading and without a trailing `/`.
    pub(crate) path: String,
    /// Of sessions that open from now on.
    pub(crate) session_config: RwLock<Arc<SessionConfig>>,
    pub(crate) connection_config: ConnectionConfig,
    pub(crate) limits: Arc<Limits>,
    pub(crate) transports: Vec<Transport>,
    pub(crate) allow_eio3: bool,
    pub(crate) compression_threshold: Option<usize>,
    pub(crate) cors: Option<Cors>,
    pub(crate) cookie: Option<Cookie>,
    pub(crate) allow_request: Option<AllowRequest>,
    pub(crate) packet_log: Option<PacketLog>,
    pub(crate) client_bundle: Option<ClientBundle>,
    pub(crate) trusted_proxies: Vec<TrustedProxy>,
    pub(crate) open_namespaces: Option<OpenNamespaces>,
    /// Sessions speak a protocol of the application's own.
    pub(crate) raw_messages: bool,
    /// The first bytes of all ids.
    pub(crate) owner: Option<[u8; 3]>,
    /// What is kept of clients whose connection is lost.
    pub(crate) recovery: Option<Recovery>,
    /// A task forgets what is kept too long.
    pub(crate) sweeps: AtomicBool,
    /// Throttles for log lines about pages of other origins, limits of new sessions, limits of size, and proxies.
    pub(crate) origin_log: Throttle,
    pub(crate) limit_log: Throttle,
    pub(crate) size_log: Throttle,
    pub(crate) proxy_log: Throttle,
    pub(crate) revision_log: Throttle,
    pub(crate) static_files: RwLock<StaticFiles>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) state: Arc<States>,
    pub(crate) namespaces: RwLock<HashMap<String, Namespace>>,
    pub(crate) root: Namespace,
    pub(crate) shards: usize,
    pub(crate) closing: AtomicBool,
    /// Tells listeners to stop.
    pub(crate) stop: watch::Sender<bool>,
}

/// The hook that gets each packet of each session, with the extensions of the request that opened it.
pub(crate) type PacketLog = Arc<dyn Fn(&Extensions, Record) + Send + Sync>;

/// How namespaces are made for clients that ask for them.
#[derive(Clone)]
pub(crate) struct OpenNamespaces {
    pub(crate) most: usize,
    /// How many exist.
    pub(crate) made: Arc<AtomicUsize>,
    pub(crate) prepare: Arc<dyn Fn(&Namespace) + Send + Sync>,
}

impl ServerInner {
    /// Returns the times and limits of a session that opens now.
    pub(crate) fn session_config(&self) -> Arc<SessionConfig> {
        Arc::clone(&self.session_config.read())
    }

    /// Returns the bytes of a new id: random ones, after those of the owner if there is one.
    pub(crate) fn new_id(&self) -> Result<[u8; 15], getrandom::Error> {
        let mut random = [0; 15];
        getrandom::fill(&mut random)?;
        if let Some(owner) = self.owner {
            random[..owner.len()].copy_from_slice(&owner);
        }
        Ok(random)
    }

    pub(crate) fn namespace(&self, name: &str) -> Option<Namespace> {
        if name == "/" {
            return Some(self.root.clone());
        }
        self.namespaces.read().get(name).cloned()
    }

    /// Returns the namespace that a client asks for, which may be made for it.
    pub(crate) fn namespace_for_client(&self, name: &str) -> Option<Namespace> {
        if let Some(namespace) = self.namespace(name) {
            return Some(namespace);
        }
        let open = self.open_namespaces.as_ref()?;
        if open.made.load(Ordering::Relaxed) >= open.most {
            if let Some(skipped) = self.limit_log.pass() {
                tracing::warn!(
                    most = open.most,
                    skipped,
                    "no more namespaces are made for clients"
                );
            }
            return None;
        }
        let parser = self.connection_config.parser;
        let (limits, state) = (Arc::clone(&self.limits), Arc::clone(&self.state));
        // Most have few sockets.
        let recovery = self.recovery.as_ref();
        let namespace = Namespace::new(name, limits, state, parser, 1, true, recovery);
        // Without the lock: the function is the application's, and may ask for namespaces.
        (open.prepare)(&namespace);
        let mut namespaces = self.namespaces.write();
        if let Some(namespace) = namespaces.get(name) {
            return Some(namespace.clone());
        }
        if open.made.fetch_add(1, Ordering::Relaxed) >= open.most {
            open.made.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        namespaces.insert(name.to_owned(), namespace.clone());
        Some(namespace)
    }

    /// Forgets a namespace that was made for a client, if no socket is left in it and none may come back.
    pub(crate) fn forget_if_empty(&self, namespace: &Namespace) {
        if !namespace.is_on_demand() {
            return;
        }
        let mut namespaces = self.namespaces.write();
        let is_known = namespaces
            .get(namespace.name())
            .is_some_and(|known| known.is(namespace));
        if is_known && !namespace.is_in_use() {
            namespaces.remove(namespace.name());
            if let Some(open) = &self.open_namespaces {
                open.made.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Makes sure that a task forgets what is kept too long of clients whose connection is lost, as long as something is.
    pub(crate) fn sweep_recoveries(self: &Arc<Self>) {
        let Some(recovery) = &self.recovery else {
            return;
        };
        if self.sweeps.swap(true, Ordering::AcqRel) {
            return;
        }
        let (server, interval) = (Arc::downgrade(self), recovery.sweep_interval());
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(interval).await;
                let Some(server) = server.upgrade() else {
                    return;
                };
                // Before it looks: what comes after that begins anew.
                server.sweeps.store(false, Ordering::Release);
                let mut is_needed = false;
                for namespace in server.all_namespaces() {
                    if let Some(recoveries) = namespace.recoveries() {
                        is_needed |= recoveries.sweep(clock::now());
                        server.forget_if_empty(&namespace);
                    }
                }
                if !is_needed || server.sweeps.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
        });
    }

    pub(crate) fn all_namespaces(&self) -> Vec<Namespace> {
        self.namespaces.read().values().cloned().collect()
    }

    /// Checks that all files that are to be served exist.
    pub(crate) fn check_files(&self) -> Result<(), ListenError> {
        if let Some(client) = &self.client_bundle {
            client.check()?;
        }
        self.static_files.read().check()
    }

    pub(crate) fn forget(&self, mailbox: &Mailbox) {
        self.sessions.remove(&mailbox.sid);
    }

    pub(crate) fn task_guard(&self) -> TaskGuard {
        self.sessions.task_guard()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}
