//! [`Place`]: the socket of a worker in the folder of its group.

use std::{
    fs, io,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::codec::Worker;

/// How often another name is tried if one is taken.
const TRIES: usize = 16;

/// The place of a worker in the folder of its group, until it is dropped.
#[derive(Debug)]
pub struct Place {
    pub(crate) name: Name,
    pub(crate) listener: UnixListener,
}

/// The name of a worker's socket. It is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Name {
    pub(crate) folder: PathBuf,
    pub(crate) worker: Worker,
    left: AtomicBool,
}

impl Name {
    /// Removes the socket, if that is not done. The last worker also removes the folder.
    pub(crate) fn remove(&self) {
        if !self.left.swap(true, Ordering::Relaxed) {
            let _ = fs::remove_file(path_of(&self.folder, self.worker));
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Place {
    /// Takes a place in a folder that exists: chooses the worker's bytes, and listens on a socket that is named after them.
    ///
    /// # Errors
    /// When no socket can be made in the folder.
    pub fn take(folder: &Path) -> io::Result<Self> {
        let mut tries = 0;
        loop {
            let mut worker = [0; 3];
            getrandom::fill(&mut worker).map_err(io::Error::other)?;
            match Self::take_as(folder, worker) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < TRIES => {
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    fn take_as(folder: &Path, worker: Worker) -> io::Result<Self> {
        // It gets its name when it listens already, so that others never find it deaf and take it for a dead worker's.
        let hidden = folder.join(format!(".{}", name_of(worker)));
        let listener = UnixListener::bind(&hidden)?;
        let named = fs::hard_link(&hidden, path_of(folder, worker));
        let _ = fs::remove_file(&hidden);
        named?;
        let name = Name {
            folder: folder.to_owned(),
            worker,
            left: AtomicBool::new(false),
        };
        let place = Self { name, listener };
        place.listener.set_nonblocking(true)?;
        Ok(place)
    }

    /// Returns the worker's bytes.
    pub fn worker(&self) -> Worker {
        self.name.worker
    }
}

/// Returns the socket of a worker.
pub(crate) fn path_of(folder: &Path, worker: Worker) -> PathBuf {
    folder.join(name_of(worker))
}

fn name_of([a, b, c]: Worker) -> String {
    format!("{a:02x}{b:02x}{c:02x}")
}

/// Returns the workers that have a socket in a folder.
pub(crate) fn workers_in(folder: &Path) -> Vec<Worker> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let number = u32::from_str_radix(&name, 16).ok()?;
            let [0, worker @ ..] = number.to_be_bytes() else {
                return None;
            };
            (name == name_of(worker)).then_some(worker)
        })
        .collect()
}
