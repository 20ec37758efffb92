//! The cases of the comparison: scenarios with fixed numbers.

use clap::ValueEnum;
use kokanee_bench::{Options, Scenario};

/// A scenario with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Case {
    /// Echo, 100 connections, 1 in flight each.
    Echo,
    /// Echo, 100 connections, 16 in flight each.
    Echo16,
    /// Broadcast to 1,000 connections, 1 in flight.
    Broadcast,
    /// Broadcast to 1,000 connections, 8 in flight.
    Broadcast8,
    /// Long polling, 100 connections, a POST and a GET each.
    Polling,
    /// 1,000 connections opened.
    Connect,
    /// 10,000 connections held.
    Idle,
    /// Events with acknowledgement, 50 connections, 20 in flight each.
    Ask,
    /// 5,000 connections held, without traffic.
    Held,
    /// A page, 16 keep-alive connections, one request in flight each.
    Page,
}

/// What the comparison with servers for Rust and JavaScript measures.
pub(super) const SERVERS: &[Case] = &[
    Case::Echo,
    Case::Echo16,
    Case::Broadcast,
    Case::Broadcast8,
    Case::Polling,
    Case::Connect,
    Case::Idle,
];
/// What the comparison of servers for Python measures.
pub(super) const PYTHON: &[Case] = &[Case::Ask, Case::Broadcast, Case::Held, Case::Page];

impl Case {
    /// Returns the name as it is written on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Echo16 => "echo16",
            Self::Broadcast => "broadcast",
            Self::Broadcast8 => "broadcast8",
            Self::Polling => "polling",
            Self::Connect => "connect",
            Self::Idle => "idle",
            Self::Ask => "ask",
            Self::Held => "held",
            Self::Page => "page",
        }
    }

    /// Returns whether its figure is memory, and not CPU time.
    pub(super) fn is_about_memory(self) -> bool {
        matches!(self, Self::Idle | Self::Held)
    }

    /// Returns the first column of the table.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Echo => "echo 64 B, 100 conn. × 1",
            Self::Echo16 => "echo 64 B, 100 conn. × 16",
            Self::Broadcast => "broadcast 128 B to 1,000, 1 in flight",
            Self::Broadcast8 => "broadcast 128 B to 1,000, 8 in flight",
            Self::Polling => "polling 64 B, 100 conn., POST + GET",
            Self::Connect => "connect, WebSocket and namespace",
            Self::Idle => "idle, 10,000 conn.",
            Self::Ask => "event 64 B with acknowledgement, 50 conn. × 20",
            Self::Held => "idle, 5,000 conn., no traffic",
            Self::Page => "page, 16 conn. × 1",
        }
    }

    /// Returns the options of a run; `None` for a page, which [`page`](super::page) requests.
    pub(super) fn options(self, url: &str) -> Option<Options> {
        let scenario = match self {
            Self::Echo | Self::Echo16 | Self::Ask => Scenario::Echo,
            Self::Broadcast | Self::Broadcast8 => Scenario::Broadcast,
            Self::Polling => Scenario::Polling,
            Self::Connect => Scenario::Connect,
            Self::Idle | Self::Held => Scenario::Idle,
            Self::Page => return None,
        };
        let mut options = Options::new(url, scenario);
        options.window = match self {
            Self::Echo16 => 16,
            Self::Ask => 20,
            Self::Broadcast8 | Self::Idle => 8,
            _ => 1,
        };
        match self {
            Self::Idle => options.burst = 32,
            Self::Held => options.connections = 5_000,
            Self::Ask => {
                options.connections = 50;
                options.ack = true;
                "ask".clone_into(&mut options.event);
            }
            _ => {}
        }
        Some(options)
    }
}
