//! Workers: the processes of one host that share a port, and find each other in a folder.
//!
//! Each worker takes a [`Place`] in the folder: a Unix socket that is named after the worker, whose three random bytes begin the
//! ids of all its sessions. A [`Mesh`] connects it with every other worker that it finds there, by one [`Link`] in each
//! direction. A link carries [`Message`]s in order, also requests and responses of sessions; or with a request for a session of the
//! other worker the connection that it came on, as a descriptor (`SCM_RIGHTS`). What a worker does with a message is its [`Member`]'s.

mod codec;
mod link;
mod mesh;
mod place;

pub use self::{
    codec::{
        Emitted, Forwarded, Handed, Head, MOST_FRAME_BYTES, Message, Relayed, Reply, Worker,
        encode_event,
    },
    link::{Link, Passed, SendError},
    mesh::{Member, Mesh},
    place::Place,
};
