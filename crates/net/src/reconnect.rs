//! [`Reconnecting`]: a client that comes back.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::{backoff::Backoff, connection::Connection, error::NetError, tcp::TcpClient};

/// A connection that lasts so long was a good one: the next delay is the first again.
const STABLE: Duration = Duration::from_secs(10);

/// Connects again after every loss, with growing delays.
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
    /// Attempts since the last good connection.
    attempts: u32,
    connected_at: Option<Instant>,
    next_at: Option<Instant>,
}

impl TcpClient {
    /// A client that connects again after every loss.
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
    /// Makes a connection: the first one at once, later ones after a delay. Cancel safe: the delays go on counting.
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
            // Noted before the attempt: whoever drops this future and calls again waits all the same.
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
                    // The delay begins when the attempt has ended.
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
