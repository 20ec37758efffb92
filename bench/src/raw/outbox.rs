//! Collects bytes to send while the packets of one read are handled.

/// Bytes to send.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Number of the connection that is being read.
    pub(super) reading: Option<usize>,
    /// Bytes for the connection that is being read.
    pub(super) own: Vec<u8>,
    /// Bytes for other connections.
    pub(super) others: Vec<(usize, Vec<u8>)>,
}

impl Outbox {
    /// Adds the wire form of one event for a connection and returns where to patch it.
    pub(super) fn send(&mut self, connection: usize, wire: &[u8]) -> &mut [u8] {
        // These bytes must not overtake those that wait for the end of the turn.
        let waiting = self
            .others
            .iter()
            .rposition(|(other, _)| *other == connection);
        let out = match waiting {
            None if self.reading == Some(connection) => &mut self.own,
            Some(index) => &mut self.others[index].1,
            None => {
                self.others.push((connection, Vec::new()));
                &mut self.others.last_mut().expect("an entry was pushed").1
            }
        };
        let start = out.len();
        out.extend_from_slice(wire);
        &mut out[start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overtakes_what_waits() {
        let mut outbox = Outbox {
            reading: Some(1),
            ..Outbox::default()
        };
        outbox.send(0, b"a");
        outbox.reading = Some(0);
        outbox.send(0, b"b");
        assert_eq!(
            (outbox.own.as_slice(), outbox.others),
            (b"".as_slice(), vec![(0, b"ab".to_vec())])
        );
    }

    #[test]
    fn outbox_keeps_the_read_connection_apart() {
        let mut outbox = Outbox {
            reading: Some(1),
            ..Outbox::default()
        };
        outbox.send(1, b"a");
        outbox.send(2, b"b");
        outbox.send(2, b"c");
        assert_eq!(
            (outbox.own.as_slice(), outbox.others),
            (b"a".as_slice(), vec![(2, b"bc".to_vec())])
        );
    }
}
