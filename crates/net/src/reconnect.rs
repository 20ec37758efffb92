//! [`Reconnecting`]: a client that reconnects.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::{backoff::Backoff, connection::Connection, error::NetError, tcp::TcpClient};

/// After a connection that lasted this long, the delays start again with the first.
const STABLE: Duration = Duration::from_secs(10);

/// A client that reconnects after every loss, with growing delays.
///
/// ```no_run
/// # use kokanee_net::{Backoff, NetError, TcpClient};
/// # async fn run() -> Result<(), NetError> {
/// let mut client = TcpClient::new("sensor.local:5000").reconnecting(Backoff::default());
/// loop {
///     let mut conn = client.next().await?;
///     while let Ok(Some(data)) = conn.recv().await {
///         println!("received {data:?}");
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Reconnecting {
    client: TcpClient,
    backoff: Backoff,
    /// Attempts since the last connection that lasted.
    attempts: u32,
    connected_at: Option<Instant>,
    next_at: Option<Instant>,
}

impl TcpClient {
    /// Returns a client that reconnects after every loss.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kokanee_net::{Backoff, TcpClient};
    ///
    /// let backoff = Backoff { delay_max: Duration::from_secs(60), ..Backoff::default() };
    /// let client = TcpClient::new("sensor.local:5000").reconnecting(backoff);
    /// ```
    pub fn reconnecting(self, backoff: Backoff) -> Reconnecting {
        Reconnecting {
            client: self,
            backoff,
            attempts: 0,
            connected_at: None,
            next_at: None,
        }
    }
}

impl Reconnecting {
    /// Connects: the first time at once, later after a delay. Cancel safe: the delay continues.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kokanee_net::NetError> {
    /// use std::time::Duration;
    /// use kokanee_net::{Backoff, NetError, TcpClient};
    ///
    /// # let address = &*std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    /// let backoff = Backoff { delay: Duration::from_millis(1), attempts: Some(3), ..Backoff::default() };
    /// let mut client = TcpClient::new(address).reconnecting(backoff);
    /// // Nobody listens: the third failure is returned.
    /// assert!(matches!(client.next().await, Err(NetError::Refused { .. })));
    /// assert_eq!(client.attempts(), 3);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The last failure, when [`Backoff::attempts`] are used up; or one that no further attempt can change, such as
    /// [`NetError::NotAnAddress`].
    pub async fn next(&mut self) -> Result<Connection, NetError> {
        if self
            .connected_at
            .take()
            .is_some_and(|at| at.elapsed() >= STABLE)
        {
            self.attempts = 0;
            self.next_at = None;
        }
        loop {
            if let Some(at) = self.next_at {
                sleep_until(at).await;
            }
            // Set before the attempt, so that dropping this future and calling again does not skip the delay.
            self.next_at = Some(Instant::now() + self.backoff.delay(self.attempts));
            self.attempts = self.attempts.saturating_add(1);
            match self.client.connect().await {
                Ok(connection) => {
                    self.connected_at = Some(Instant::now());
                    return Ok(connection);
                }
                Err(error @ NetError::NotAnAddress { .. }) => return Err(error),
                Err(error) => {
                    let is_last = self
                        .backoff
                        .attempts
                        .is_some_and(|max| self.attempts >= max);
                    if is_last {
                        return Err(error);
                    }
                    tracing::debug!(%error, attempt = self.attempts, "trying again");
                    // The delay begins at the end of the attempt.
                    self.next_at = Some(Instant::now() + self.backoff.delay(self.attempts - 1));
                }
            }
        }
    }

    /// Attempts since the last connection that lasted.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }
}
