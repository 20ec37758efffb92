//! The raw sockets of `kokanee serve` whose peers are bridged into namespaces: `--tcp`, `--udp`, `--unix`.

use std::time::Duration;

use kokanee::{
    Auth, ConnectError, Namespace, Server,
    bridge::{Bridge, BridgeBuilder, SlowWatcher},
    net::{NetError, ServerHandle, TcpServer, UdpServer},
};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use tokio::{task::JoinHandle, time::timeout};

use crate::args::{RawArgs, address};

const TCP: &str = "/tcp";
const UDP: &str = "/udp";
const UNIX: &str = "/unix";

/// Returns the namespaces that these options ask for.
pub(crate) fn namespaces(args: &RawArgs) -> Vec<&'static str> {
    // Even without a listener, /tcp exists if clients may dial targets.
    let has_tcp = args.tcp.is_some() || !args.allow_target.is_empty();
    let has = [
        (TCP, has_tcp),
        (UDP, args.udp.is_some()),
        (UNIX, unix_path(args).is_some()),
    ];
    has.into_iter()
        .filter_map(|(namespace, is_wanted)| is_wanted.then_some(namespace))
        .collect()
}

#[cfg(unix)]
fn unix_path(args: &RawArgs) -> Option<&std::path::PathBuf> {
    args.unix.as_ref()
}

#[cfg(not(unix))]
fn unix_path(_args: &RawArgs) -> Option<&std::path::PathBuf> {
    None
}

/// The bound sockets.
pub(crate) struct RawSockets {
    tcp: Option<TcpServer>,
    udp: Option<UdpServer>,
    #[cfg(unix)]
    unix: Option<kokanee::net::UnixServer>,
}

impl RawSockets {
    /// Binds the sockets that the options ask for.
    pub(crate) async fn bind(args: &RawArgs, host: &str) -> Result<Self, NetError> {
        let full = |text: &String| match text.parse() {
            Ok(port) => address(host, port),
            Err(_) => text.clone(),
        };
        Ok(Self {
            tcp: match &args.tcp {
                Some(text) => Some(TcpServer::bind(&full(text)).await?),
                None => None,
            },
            udp: match &args.udp {
                Some(text) => Some(UdpServer::bind(&full(text)).await?),
                None => None,
            },
            #[cfg(unix)]
            unix: match &args.unix {
                Some(path) => {
                    let limits = kokanee::net::Limits::default();
                    Some(kokanee::net::UnixServer::bind(path, limits).await?)
                }
                None => None,
            },
        })
    }

    /// Returns the namespaces with the addresses of their sockets.
    pub(crate) fn addresses(&self) -> Vec<(&'static str, String)> {
        let mut addresses = Vec::new();
        if let Some(server) = &self.tcp {
            addresses.push((TCP, server.local_addr().to_string()));
        }
        if let Some(server) = &self.udp {
            addresses.push((UDP, server.local_addr().to_string()));
        }
        #[cfg(unix)]
        if let Some(server) = &self.unix {
            addresses.push((UNIX, server.path().display().to_string()));
        }
        addresses
    }

    /// Bridges their peers into the namespaces.
    pub(crate) fn serve(self, io: &Server, args: &RawArgs) -> RawServers {
        let mut servers = Vec::new();
        let bridge = |name: &str| {
            let namespace = io.of(name);
            authorize(&namespace, args);
            let mut builder = Bridge::builder()
                .framing(args.framing.clone())
                .with_limits(|limits| {
                    limits.half_open_timeout = args.half_open;
                    limits.max_hold_up = args.max_hold_up;
                })
                .slow_watcher(if args.disconnect_slow_watchers {
                    SlowWatcher::Disconnect
                } else {
                    SlowWatcher::DropMessages
                });
            if name == TCP {
                builder = args
                    .allow_target
                    .iter()
                    .cloned()
                    .fold(builder, BridgeBuilder::allow_target);
            }
            builder.attach(&namespace)
        };
        let tcp = namespaces(args).contains(&TCP).then(|| bridge(TCP));
        if let (Some(bridge), Some(server)) = (tcp, self.tcp) {
            let handle = server.handle();
            let serving = tokio::spawn(async move { bridge.serve_tcp(server).await });
            servers.push((handle, serving));
        }
        if let Some(server) = self.udp {
            let bridge = bridge(UDP);
            let handle = server.handle();
            let serving = tokio::spawn(async move { bridge.serve_udp(server).await });
            servers.push((handle, serving));
        }
        #[cfg(unix)]
        if let Some(server) = self.unix {
            let bridge = bridge(UNIX);
            let handle = server.handle();
            let serving = tokio::spawn(async move { bridge.serve_unix(server).await });
            servers.push((handle, serving));
        }
        RawServers(servers)
    }
}

/// Refuses clients that do not send the token, if one is set.
fn authorize(namespace: &Namespace, args: &RawArgs) {
    #[derive(Deserialize)]
    struct Login {
        token: String,
    }
    let Some(token) = args.raw_token.clone() else {
        return;
    };
    namespace.middleware(move |login: Option<Auth<Login>>| {
        // In constant time, so that timing does not reveal how much of a token is right.
        let is_known =
            login.is_some_and(|Auth(login)| login.token.as_bytes().ct_eq(token.as_bytes()).into());
        async move {
            if is_known {
                Ok(())
            } else {
                Err(ConnectError::new("not authorized"))
            }
        }
    });
}

/// The running servers of the sockets.
pub(crate) struct RawServers(Vec<(ServerHandle, JoinHandle<()>)>);

impl RawServers {
    /// Closes them. Returns whether that completed in time.
    pub(crate) async fn close(self, deadline: Duration) -> bool {
        let mut in_time = true;
        for (handle, serving) in self.0 {
            in_time &= handle.close(deadline).await;
            // The task removes the file of a Unix socket, and reports UDP peers as gone.
            in_time &= timeout(deadline, serving).await.is_ok();
        }
        in_time
    }
}
