//! The official browser client below the server's path, from files that the application names.

use std::{io, path::PathBuf};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use crate::{
    body::Body,
    compression::{compress, negotiate},
    error::ListenError,
    static_files::{etag, is_cached},
};

/// The names of the files. Each has a source map, too.
const NAMES: [&str; 4] = [
    "socket.io.js",
    "socket.io.min.js",
    "socket.io.esm.min.js",
    "socket.io.msgpack.min.js",
];

/// Bundles are compressed from this size on.
const THRESHOLD_BYTES: usize = 1024;

/// A bundle file, or the directory with all of them.
#[derive(Debug, Clone)]
pub(crate) struct ClientBundle {
    path: PathBuf,
}

impl ClientBundle {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Checks that there is a file to serve.
    pub(crate) fn check(&self) -> Result<(), ListenError> {
        if self.path.is_file() || NAMES.iter().any(|name| self.path.join(name).is_file()) {
            return Ok(());
        }
        Err(ListenError::Files {
            path: self.path.display().to_string(),
            source: io::Error::new(
                io::ErrorKind::NotFound,
                "there is no socket.io.js; `npm install socket.io-client` puts it into node_modules/socket.io-client/dist",
            ),
        })
    }

    /// Returns whether a name is that of one of the files, or of its map.
    pub(crate) fn is_name(name: &str) -> bool {
        NAMES.contains(&name.strip_suffix(".map").unwrap_or(name))
    }

    /// Returns the file for a name, from a fixed list: no name leads anywhere else.
    fn file(&self, name: &str) -> Option<PathBuf> {
        let base = name.strip_suffix(".map").unwrap_or(name);
        let known = NAMES.iter().find(|known| **known == base)?;
        if self.path.is_dir() {
            return Some(self.path.join(if name == base {
                (*known).to_owned()
            } else {
                format!("{known}.map")
            }));
        }
        // A single file serves the plain names.
        (name == base && !base.contains("esm") && !base.contains("msgpack"))
            .then(|| self.path.clone())
    }

    /// Serves a name below the server's path. Returns `None` if there is no such file.
    pub(crate) async fn serve(
        &self,
        name: &str,
        method: &Method,
        request: &HeaderMap,
    ) -> Option<Response<Body>> {
        let path = self.file(name)?;
        let metadata = tokio::fs::metadata(&path)
            .await
            .ok()
            .filter(std::fs::Metadata::is_file)?;
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        let is_map = name.strip_suffix(".map").is_some();
        let content_type = if is_map {
            "application/json; charset=utf-8"
        } else {
            "application/javascript; charset=utf-8"
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=0"),
        );
        if let Some(etag) = etag(&metadata) {
            let cached = is_cached(&etag, request);
            headers.insert(header::ETAG, etag);
            if cached {
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                return Some(response);
            }
        }
        let mut bundle = Bytes::from(tokio::fs::read(&path).await.ok()?);
        if bundle.len() >= THRESHOLD_BYTES
            && let Some(encoding) = negotiate(request)
        {
            bundle = compress(bundle, encoding, headers);
        }
        if method == Method::HEAD {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bundle.len()));
        } else {
            *response.body_mut() = Body::full(bundle);
        }
        Some(response)
    }
}
