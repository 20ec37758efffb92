//! Events whose handler is a function: a thread of Python that waits for events calls it here, and what it returns is sent, with
//! no code of Python in between.
//!
//! Called by `Engine.handle_events` only. Python gets all other events, and exceptions.

use std::time::Duration;

use kokanee_server::Ack;
use pyo3::{
    prelude::*,
    types::{PyDict, PyString, PyTuple},
};

use crate::{
    queue::{self, EVENT, Event, FAILED, Queue},
    value,
};

/// Events that are handled before Python is asked for its functions again.
const BATCH: usize = 64;

/// The functions that handle events, which may change at any time.
pub(crate) struct Functions<'a, 'py> {
    /// Returns the functions, by namespace and name of the event.
    find: &'a Bound<'py, PyAny>,
    /// What is returned in place of an answer if there shall be none.
    no_answer: &'a Bound<'py, PyAny>,
    found: Option<Bound<'py, PyDict>>,
    /// Events until they are found anew.
    left: usize,
}

impl<'a, 'py> Functions<'a, 'py> {
    pub(crate) fn new(find: &'a Bound<'py, PyAny>, no_answer: &'a Bound<'py, PyAny>) -> Self {
        Self {
            find,
            no_answer,
            found: None,
            left: 0,
        }
    }

    /// Handles events until there is one for Python, which it returns. `None`: none has come for so long, or the queue is closed.
    pub(crate) fn handle_events(
        &mut self,
        queue: &Queue,
        timeout: Duration,
    ) -> Option<Bound<'py, PyTuple>> {
        let py = self.find.py();
        loop {
            let event = queue.try_next().or_else(|| {
                // They may change meanwhile.
                self.left = 0;
                queue.wait(py, Some(timeout))
            })?;
            match self.handle(queue, event) {
                Ok(None) => {}
                Ok(event) => return event,
                Err(error) => error.write_unraisable(py, None),
            }
        }
    }

    /// Handles an event. Returns it if it has no function, or its exception as an event of the kind `FAILED`.
    fn handle(&mut self, queue: &Queue, event: Event) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let (py, json) = (self.find.py(), &queue.json);
        let Event::Event {
            socket,
            event,
            ack,
            turn,
        } = event
        else {
            return queue::to_python(py, json, event).map(Some);
        };
        let namespace = PyString::new(py, socket.namespace().name());
        let name = PyString::new(py, event.name());
        let Some(function) = self.function(&namespace, &name)? else {
            let event = Event::Event {
                socket,
                event,
                ack,
                turn,
            };
            return queue::to_python(py, json, event).map(Some);
        };
        let sid = PyString::new(py, socket.id().as_str());
        let (args, handled) = match value::args_to_python(py, json, event.args()) {
            Ok(args) => {
                let handled = self.call(queue, &function, &sid, &args, ack);
                (args, handled)
            }
            Err(error) => (PyTuple::empty(py), Err(error)),
        };
        drop(turn);
        let Err(error) = handled else {
            return Ok(None);
        };
        let event = (EVENT, sid, namespace, name, args, py.None());
        (FAILED, event, error.into_value(py))
            .into_pyobject(py)
            .map(Some)
    }

    fn function(
        &mut self,
        namespace: &Bound<'py, PyString>,
        name: &Bound<'py, PyString>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.left == 0 {
            self.found = Some(self.find.call0()?.cast_into::<PyDict>()?);
            self.left = BATCH;
        }
        self.left -= 1;
        let Some(found) = &self.found else {
            return Ok(None);
        };
        match found.get_item(namespace)? {
            Some(own) => own.cast::<PyDict>()?.get_item(name),
            None => Ok(None),
        }
    }

    /// Calls a function with the client's id and the arguments, and answers with what it returns.
    fn call(
        &self,
        queue: &Queue,
        function: &Bound<'py, PyAny>,
        sid: &Bound<'py, PyString>,
        args: &Bound<'py, PyTuple>,
        ack: Option<Ack>,
    ) -> PyResult<()> {
        let result = match args.len() {
            1 => function.call1((sid, args.get_item(0)?))?,
            _ => {
                let sid = PyTuple::new(sid.py(), [sid])?;
                let all = sid.as_sequence().concat(args.as_sequence())?;
                function.call1(all.cast::<PyTuple>()?)?
            }
        };
        let Some(ack) = ack.filter(|_| !result.is(self.no_answer)) else {
            return Ok(());
        };
        let args = value::args_of_data(&queue.json, &result)?;
        queue::send_answer(&ack, &args).map(drop)
    }
}
