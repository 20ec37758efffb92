//! The methods that attach handlers: the same for every handle, so they are written once.

/// Defines them for a handle that has `attach`, which changes its [`Handlers`](crate::handlers::Handlers).
///
/// `[receiver] self -> returned type, trait of handlers, socket of handlers`
macro_rules! attach_methods {
    ([$($receiver:tt)+] $this:ident -> $Returned:ty, $Handler:ident, $Socket:ty) => {
        // Events in.

        /// Adds a handler of an event. Several handlers of one event run in the order in which they were added; the next
        /// event is handled when they have ended. A handler that waits does not stop heartbeats. But when 1024 events or
        /// 8 MiB of them wait for their handlers, the client stops to read: the server has to wait, and may take us for dead
        /// if that lasts.
        ///
        /// Events that come before their handlers are attached wait for them: see [`Socket`](crate::Socket#early-events).
        ///
        /// # Panics
        /// If no event of this name can come, as with `connect` and `disconnect`, for which there are
        /// [`on_connect`](Self::on_connect) and [`on_disconnect`](Self::on_disconnect); and if the handler has a parameter
        /// [`State<T>`](crate::State) but [`ClientBuilder::state`](crate::ClientBuilder::state) was not given one. (A builder
        /// looks for that when it builds.)
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

        /// Adds a handler that is called for one event only.
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

        /// Adds a handler of the typed event that is its first parameter, a [`Typed<E>`](crate::Typed).
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

        /// Adds a handler of every event, whatever its name. It begins before those of [`on`](Self::on).
        ///
        /// It watches: if there are handlers by name, an [early event](crate::Socket#early-events) without one waits for its own for up
        /// to 2 s before this handler sees it. Without any, this handler takes all events at once, and handlers by name that are
        /// attached later do not get them.
        ///
        /// # Panics
        /// As [`on`](Self::on), for a missing state.
        #[track_caller]
        pub fn on_any<Args, H: $Handler<Args, OnEvent>>($($receiver)+, handler: H) -> $Returned {
            let handler = handler.erase();
            $this.attach(&H::needs(), |handlers| handlers.any.push(handler))
        }

        /// Adds a handler of events that have no handler by their name.
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

        /// Adds a function that is called with every event that the socket emits, before it leaves. It must be quick.
        pub fn on_any_outgoing(
            $($receiver)+,
            handler: impl Fn(&RawEvent) + Send + Sync + 'static,
        ) -> $Returned {
            $this.attach(&Needs::default(), |handlers| handlers.outgoing.push(Arc::new(handler)))
        }

        /// Removes the handlers of an event.
        pub fn off($($receiver)+, event: &str) -> $Returned {
            $this.detach(event)
        }

        // Life cycle.

        /// Adds a handler of connections: the first one and those after it. See
        /// [`is_recovered`](crate::Socket::is_recovered).
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

        /// Adds a handler of disconnections; its parameters may be the [`DisconnectReason`](crate::DisconnectReason), and
        /// the [`CloseDetails`](crate::CloseDetails) with the code and reason of the server's WebSocket.
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

        /// Adds a handler of failed connections; its parameter may be the [`Failure`](crate::Failure).
        ///
        /// After a refusal by the namespace, for instance by a middleware of the server, the socket does not connect again
        /// until [`Socket::connect`](crate::Socket::connect) is called; [`on_reconnect_failed`](Self::on_reconnect_failed) is
        /// not called then.
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

        /// Adds a handler of attempts to reconnect; its parameter may be the number of the [`Attempt`](crate::Attempt).
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

        /// Adds a handler of reconnections; its parameter may be the number of the [`Attempt`](crate::Attempt).
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

        /// Adds a handler of the end of all attempts, see
        /// [`reconnection_attempts`](crate::ClientBuilder::reconnection_attempts). A refusal by a middleware ends them, too,
        /// until [`Socket::connect`](crate::Socket::connect) is called, but only calls
        /// [`on_connect_error`](Self::on_connect_error).
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

        /// Adds a handler of upgrades to a WebSocket.
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

        /// Sets the function that is called for events that were not handled to their end: arguments that do not fit, errors
        /// and panics of handlers. They are always logged; the server learns of them by its acknowledgement. It must be
        /// quick.
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
