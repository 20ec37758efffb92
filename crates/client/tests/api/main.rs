//! The client's API against servers in this process, and against scripted ones.

mod attach;
mod blocking;
mod connect;
mod disconnect;
mod early;
mod events;
mod floods;
mod invalid_data;
mod late_handlers;
mod old_servers;
mod options;
mod order;
mod raw;
mod reconnect;
mod refusals;
mod send_buffer;
mod silence;
mod simple;
mod support;
mod transports;
