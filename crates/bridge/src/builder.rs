//! [`BridgeBuilder`]: the choices of a bridge, until it is attached to its namespace.

use std::sync::Arc;

use kokanee_net::Framing;
use kokanee_server::Namespace;
use tokio::sync::Semaphore;

use crate::{
    bridge::{Bridge, Inner},
    handlers,
    limits::BridgeLimits,
    peers::Peers,
    targets::Rule,
    watchers::{SlowWatcher, Watchers},
};

impl Bridge {
    /// Begins a bridge.
    pub fn builder() -> BridgeBuilder {
        BridgeBuilder::default()
    }
}

/// The settings of a [`Bridge`].
#[derive(Debug, Clone, Default)]
#[must_use = "call attach"]
pub struct BridgeBuilder {
    framing: Framing,
    limits: BridgeLimits,
    slow_watcher: SlowWatcher,
    rules: Vec<Rule>,
}

impl BridgeBuilder {
    /// Sets how the bytes of peers become messages, and messages bytes. Default [`Framing::Raw`].
    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// Changes some of the limits.
    pub fn with_limits(mut self, change: impl FnOnce(&mut BridgeLimits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Sets what becomes of a client that holds up others for [`BridgeLimits::max_hold_up`]. Default
    /// [`SlowWatcher::Misses`].
    pub fn slow_watcher(mut self, slow_watcher: SlowWatcher) -> Self {
        self.slow_watcher = slow_watcher;
        self
    }

    /// Allows clients to have targets dialled. Default: none.
    pub fn allow_target(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Makes the bridge, and adds its handlers to a namespace. One namespace has one bridge.
    pub fn attach(self, namespace: &Namespace) -> Bridge {
        let max_dialled = self.limits.max_dialled.min(Semaphore::MAX_PERMITS);
        let watchers = Watchers::new(namespace, self.limits.max_hold_up, self.slow_watcher);
        let bridge = Bridge(Arc::new(Inner {
            namespace: namespace.clone(),
            framing: self.framing,
            limits: self.limits,
            rules: self.rules,
            peers: Peers::default(),
            watchers: Arc::new(watchers),
            dial_permits: Arc::new(Semaphore::new(max_dialled)),
        }));
        handlers::register(&bridge, namespace);
        bridge
    }
}
