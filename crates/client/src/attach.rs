//! The methods that attach handlers. Builders and sockets of the async and of the blocking client have the same ones, so they
//! are written once.

/// Defines these methods for a type that has `attach`, which changes its [`Handlers`](crate::handlers::Handlers).
///
/// `[receiver] self -> returned type, trait of handlers, socket of handlers; keyword of handlers and type in the examples`
macro_rules! attach_methods {
    (
        [$($receiver:tt)+] $this:ident -> $Returned:ty, $Handler:ident, $Socket:ty;
        $async:literal, $client:literal
    ) => {
        // Events in.

        /// Adds a handler for an event.
        ///
        /// The handlers of an event run in the order in which they were added, and the next event is handled after they have
        /// returned. A handler that waits does not stop heartbeats. When 1024 events or 8 MiB of events wait for their
        /// handlers, the client stops reading; a server that cannot send for long may then close the connection.
        ///
        /// Events that arrive before their handlers are attached wait for them: see [`Socket`](crate::Socket#early-events).
        ///
        /// # Examples
        ///
        /// ```
        /// use kokanee_client::{Ack, Data};
        ///
        #[doc = concat!("# fn example(client: ", $client, ") {")]
        #[doc = concat!("client.on(\"message\", ", $async, "|Data(text): Data<String>| println!(\"{text}\"))")]
        #[doc = concat!("    .on(\"sum\", ", $async, "|Data((a, b)): Data<(i64, i64)>, ack: Ack| ack.send(a + b));")]
        /// # }
        /// ```
        ///
        /// # Panics
        /// If the name belongs to no event that can arrive, such as `connect` and `disconnect`, for which there are
        /// [`on_connect`](Self::on_connect) and [`on_disconnect`](Self::on_disconnect). If the handler has a parameter
        /// [`State<T>`](crate::State) and [`ClientBuilder::state`](crate::ClientBuilder::state) was not called with a `T`; a
        /// builder checks that when it builds.
        #[track_caller]
        pub fn on<Args, H: $Handler<Args, OnEvent>>(
            $($receiver)+,
            event: &str,
            handler: H,
        ) -> $Returned {
            check_event(event);
            let handler = handler.erase();
            $this.attach(&H::needs(), |handlers| handlers.on(event, handler, false))
        }

        /// Adds a handler that is called for the next event of this name only.
        ///
        /// # Examples
        ///
        /// ```
        /// use kokanee_client::Data;
        ///
        #[doc = concat!("# fn example(client: ", $client, ") {")]
        #[doc = concat!("client.once(\"welcome\", ", $async, "|Data(text): Data<String>| println!(\"{text}\"));")]
        /// # }
        /// ```
        ///
        /// # Panics
        /// As [`on`](Self::on).
        #[track_caller]
        pub fn once<Args, H: $Handler<Args, OnEvent>>(
            $($receiver)+,
            event: &str,
            handler: H,
        ) -> $Returned {
            check_event(event);
            let handler = handler.erase();
            $this.attach(&H::needs(), |handlers| handlers.on(event, handler, true))
        }

        /// Adds a handler for the typed event of its first parameter, a [`Typed<E>`](crate::Typed).
        ///
        /// # Examples
        ///
        /// The crate `kokanee` has a derive macro that writes the `impl Event`.
        ///
        /// ```
        /// use kokanee_client::{Event, Typed};
        ///
        /// #[derive(serde::Serialize, serde::Deserialize)]
        /// struct Moved { x: f64, y: f64 }
        ///
        /// impl Event for Moved {
        ///     const NAME: &'static str = "moved";
        ///     type Ack = ();
        /// }
        ///
        #[doc = concat!("# fn example(client: ", $client, ") {")]
        #[doc = concat!("client.on_typed(", $async, "|Typed(at): Typed<Moved>| println!(\"at {}, {}\", at.x, at.y));")]
        /// # }
        /// ```
        ///
        /// # Panics
        /// As [`on`](Self::on).
        #[track_caller]
        pub fn on_typed<Args: TypedArgs, H: $Handler<Args, OnEvent>>(
            $($receiver)+,
            handler: H,
        ) -> $Returned {
            $this.on(Args::Event::NAME, handler)
        }

        /// Adds a handler that is called for every event, before the handlers of [`on`](Self::on).
        ///
        /// It observes: if there are handlers by name, an [early event](crate::Socket#early-events) without one waits up to
        /// 2 s for its own before this handler sees it. If there are none, this handler takes all events at once, and handlers
        /// by name that are attached later do not get them.
        ///
        /// # Examples
        ///
        /// ```
        /// use kokanee_client::RawEvent;
        ///
        #[doc = concat!("# fn example(client: ", $client, ") {")]
        #[doc = concat!("client.on_any(", $async, "|event: RawEvent| println!(\"{} [{}]\", event.name(), event.args().json()));")]
        /// # }
        /// ```
        ///
        /// # Panics
        /// As [`on`](Self::on), for a missing state.
        #[track_caller]
        pub fn on_any<Args, H: $Handler<Args, OnEvent>>($($receiver)+, handler: H) -> $Returned {
            let handler = handler.erase();
            $this.attach(&H::needs(), |handlers| handlers.any.push(handler))
        }

        /// Adds a handler for events that have no handler by name.
        ///
        /// # Examples
        ///
        /// ```
        /// use kokanee_client::EventName;
        ///
        #[doc = concat!("# fn example(client: ", $client, ") {")]
        #[doc = concat!("client.on_fallback(", $async, "|EventName(name): EventName| eprintln!(\"unknown event {name}\"));")]
        /// # }
        /// ```
        ///
        /// # Panics
        /// As [`on`](Self::on), for a missing state.
        #[track_caller]
        pub fn on_fallback<Args, H: $Handler<Args, OnEvent>>(
            $($receiver)+,
            handler: H,
        ) -> $Returned {
            let handler = handler.erase();
            $this.attach(&H::needs(), |handlers| handlers.fallback.push(handler))
        }

        /// Adds a listener called with every outgoing event before it is sent. It must not block.
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("# fn example(client: ", $client, ") {")]
        /// client.on_any_outgoing(|event| println!("sending {}", event.name()));
        /// # }
        /// ```
        pub fn on_any_outgoing(
            $($receiver)+,
            handler: impl Fn(&RawEvent) + Send + Sync + 'static,
        ) -> $Returned {
            $this.attach(&Needs::default(), |handlers| handlers.outgoing.push(Arc::new(handler)))
        }

        /// Removes all handlers of an event that were added by name.
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("# fn example(client: ", $client, ") {")]
        /// client.off("message");
        /// # }
        /// ```
        pub fn off($($receiver)+, event: &str) -> $Returned {
            $this.detach(event)
        }

        // Life cycle.

        /// Adds a handler called each time the socket is connected: the first time and after every reconnection.
        ///
        /// [`is_recovered`](crate::Socket::is_recovered) says whether the server has restored the earlier state.
        ///
        /// # Examples
        ///
        /// ```
        ///
        #[doc = concat!("# fn example(client: ", $client, ") {")]
        #[doc = concat!("client.on_connect(", $async, "|| println!(\"connected\"));")]
        /// # }
        /// ```
        ///
        /// # Panics
        /// As [`on`](Self::on), for a missing state.
        #[track_caller]
        pub fn on_connect<Args, H: $Handler<Args, OnConnect>>(
            $($receiver)+,
            handler: H,
        ) -> $Returned {
            let handler = handler.erase();
            $this.attach(&H::needs(), |handlers| handlers.connect.push(handler))
        }

        /// Adds a handler called each time the socket is disconnected. Its parameters may be the
        /// [`DisconnectReason`](crate::DisconnectReason), and the [`CloseDetails`](crate::CloseDetails) with the code and
        /// reason of the server's WebSocket.
        ///
        /// # Examples
        ///
        /// ```
        /// use kokanee_client::DisconnectReason;
        ///
        #[doc = concat!("# fn example(client: ", $client, ") {")]
        #[doc = concat!("client.on_disconnect(", $async, "|reason: DisconnectReason| match reason {")]
        ///     DisconnectReason::Server => println!("the server has disconnected this socket"),
        ///     reason => println!("disconnected: {reason}"),
        /// });
        /// # }
        /// ```
        ///
        /// # Panics
        /// As [`on`](Self::on), for a missing state.
        #[track_caller]
        pub fn on_disconnect<Args, H: $Handler<Args, OnDisconnect>>(
            $($receiver)+,
            handler: H,
        ) -> $Returned {
            let handler = handler.erase();
            $this.attach(&H::needs(), |handlers| handlers.disconnect.push(handler))
        }

        /// Adds a handler called each time a connection fails. Its parameter may be the [`Failure`](crate::Failure).
        ///
        /// If the namespace has refused the socket, for instance in a middleware of the server, the socket does not reconnect
        /// until [`Socket::connect`](crate::Socket::connect) is called.
        /// [`on_reconnect_failed`](Self::on_reconnect_failed) is not called then.
        ///
        /// # Examples
        ///
        /// ```
        /// use kokanee_client::{ConnectFailure, Failure};
        ///
        #[doc = concat!("# fn example(client: ", $client, ") {")]
        #[doc = concat!("client.on_connect_error(", $async, "|failure: Failure| match &*failure {")]
        ///     ConnectFailure::Refused { message, .. } => eprintln!("log in again: {message}"),
        ///     failure => eprintln!("{failure}"),
        /// });
        /// # }
        /// ```
        ///
        /// # Panics
        /// As [`on`](Self::on), for a missing state.
        #[track_caller]
        pub fn on_connect_error<Args, H: $Handler<Args, OnConnectError>>(
            $($receiver)+,
            handler: H,
        ) -> $Returned {
            let handler = handler.erase();
            $this.attach(&H::needs(), |handlers| handlers.connect_error.push(handler))
        }

        /// Adds a handler called before each attempt to reconnect. Its parameter may be the number of the
        /// [`Attempt`](crate::Attempt).
        ///
        /// # Examples
        ///
        /// ```
        /// use kokanee_client::Attempt;
        ///
        #[doc = concat!("# fn example(client: ", $client, ") {")]
        #[doc = concat!("client.on_reconnect_attempt(", $async, "|Attempt(number): Attempt| println!(\"attempt {number}\"));")]
        /// # }
        /// ```
        ///
        /// # Panics
        /// As [`on`](Self::on), for a missing state.
        #[track_caller]
        pub fn on_reconnect_attempt<Args, H: $Handler<Args, OnAttempt>>(
            $($receiver)+,
            handler: H,
        ) -> $Returned {
            let handler = handler.erase();
            $this.attach(&H::needs(), |handlers| handlers.reconnect_attempt.push(handler))
        }

        /// Adds a handler called after each reconnection. Its parameter may be the number of the
        /// [`Attempt`](crate::Attempt) that succeeded.
        ///
        /// # Examples
        ///
        /// ```
        /// use kokanee_client::Attempt;
        ///
        #[doc = concat!("# fn example(client: ", $client, ") {")]
        #[doc = concat!("client.on_reconnect(", $async, "|Attempt(number): Attempt| println!(\"back after {number} attempts\"));")]
        /// # }
        /// ```
        ///
        /// # Panics
        /// As [`on`](Self::on), for a missing state.
        #[track_caller]
        pub fn on_reconnect<Args, H: $Handler<Args, OnAttempt>>(
            $($receiver)+,
            handler: H,
        ) -> $Returned {
            let handler = handler.erase();
            $this.attach(&H::needs(), |handlers| handlers.reconnect.push(handler))
        }

        /// Adds a handler called when the client gives up after
        /// [`reconnection_attempts`](crate::ClientBuilder::reconnection_attempts).
        ///
        /// If the namespace refuses the socket, the client gives up, too, but only
        /// [`on_connect_error`](Self::on_connect_error) is called.
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("# fn example(client: ", $client, ") {")]
        #[doc = concat!("client.on_reconnect_failed(", $async, "|| eprintln!(\"the server is gone\"));")]
        /// # }
        /// ```
        ///
        /// # Panics
        /// As [`on`](Self::on), for a missing state.
        #[track_caller]
        pub fn on_reconnect_failed<Args, H: $Handler<Args, OnConnect>>(
            $($receiver)+,
            handler: H,
        ) -> $Returned {
            let handler = handler.erase();
            $this.attach(&H::needs(), |handlers| handlers.reconnect_failed.push(handler))
        }

        /// Adds a handler called when the connection moves from long-polling to a WebSocket.
        ///
        /// # Panics
        /// As [`on`](Self::on), for a missing state.
        #[track_caller]
        pub fn on_upgrade<Args, H: $Handler<Args, OnConnect>>(
            $($receiver)+,
            handler: H,
        ) -> $Returned {
            let handler = handler.erase();
            $this.attach(&H::needs(), |handlers| handlers.upgrade.push(handler))
        }

        /// Sets the error handler, called when the arguments of an event do not fit or its handler fails or panics. It must
        /// not block.
        ///
        /// These errors are always logged, and the server gets them as the acknowledgement if it asked for one. A second call
        /// replaces the handler.
        ///
        /// # Examples
        ///
        /// ```
        /// use kokanee_client::EventErrorKind;
        ///
        #[doc = concat!("# fn example(client: ", $client, ") {")]
        /// client.on_error(|socket, error| match error.kind() {
        ///     EventErrorKind::Extract(_) => eprintln!("{}: the server sent {error}", socket.namespace()),
        ///     _ => eprintln!("{error}"),
        /// });
        /// # }
        /// ```
        pub fn on_error(
            $($receiver)+,
            handler: impl Fn(&$Socket, &EventError) + Send + Sync + 'static,
        ) -> $Returned {
            let handler = <$Socket>::error_handler(handler);
            $this.attach(&Needs::default(), |handlers| handlers.error.replace(handler))
        }
    };
}

pub(crate) use attach_methods;
