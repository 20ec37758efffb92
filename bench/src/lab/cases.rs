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
}

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
        }
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
        }
    }

    /// Returns the options of a run.
    pub(super) fn options(self, url: &str) -> Options {
        let scenario = match self {
            Self::Echo | Self::Echo16 => Scenario::Echo,
            Self::Broadcast | Self::Broadcast8 => Scenario::Broadcast,
            Self::Polling => Scenario::Polling,
            Self::Connect => Scenario::Connect,
            Self::Idle => Scenario::Idle,
        };
        let mut options = Options::new(url, scenario);
        options.window = match self {
            Self::Echo16 => 16,
            Self::Broadcast8 | Self::Idle => 8,
            Self::Echo | Self::Broadcast | Self::Polling | Self::Connect => 1,
        };
        if self == Self::Idle {
            options.burst = 32;
        }
        options
    }
}
