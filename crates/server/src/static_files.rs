//! Static files beside the Socket.IO path, mapped as python-socketio maps them.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use crate::body::Body;

/// A file or a directory to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticFile {
    path: PathBuf,
    content_type: Option<String>,
}

impl StaticFile {
    /// A file or directory; the type of its content follows from the name.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            content_type: None,
        }
    }

    /// Sets the type of the content.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }
}

impl<P: Into<PathBuf>> From<P> for StaticFile {
    fn from(path: P) -> Self {
        Self::new(path)
    }
}

/// Which URL is which file.
#[derive(Debug, Default, Clone)]
pub(crate) struct StaticFiles {
    files: BTreeMap<String, StaticFile>,
}

impl StaticFiles {
    pub(crate) fn insert(&mut self, url: &str, file: StaticFile) {
        let url = if url.starts_with('/') {
            url.to_owned()
        } else {
            format!("/{url}")
        };
        self.files.insert(url, file);
    }

    /// The file of a URL's path: an exact match, else the longest mapped path above it with the rest appended.
    pub(crate) fn find(&self, url_path: &str) -> Option<StaticFile> {
        let decoded = percent_encoding::percent_decode_str(url_path)
            .decode_utf8()
            .ok()?;
        if let Some(file) = self.files.get(&*decoded) {
            return Some(file.clone());
        }
        let mut end = decoded.len();
        loop {
            // The part above the last `/` that is left, with it and without it.
            let above = decoded[..end].rfind('/')?;
            let mapped = self
                .files
                .get(&decoded[..=above])
                .or_else(|| self.files.get(&decoded[..above]));
            if let Some(mapped) = mapped {
                let rest = Path::new(decoded[above..].trim_start_matches('/'));
                // `..`, a root or a drive would lead out of the directory.
                let inside = rest
                    .components()
                    .all(|part| matches!(part, Component::Normal(_)));
                let clean = !decoded[above..].contains(['\0', '\\']);
                return (inside && clean).then(|| StaticFile {
                    path: mapped.path.join(rest),
                    content_type: None,
                });
            }
            end = above;
        }
    }
}

/// The type of a file's content by its name.
fn content_type(path: &Path) -> HeaderValue {
    let mime = mime_guess::from_path(path)
        .first_raw()
        .unwrap_or("application/octet-stream");
    let text =
        mime.starts_with("text/") || matches!(mime, "application/json" | "application/javascript");
    let value = if text {
        format!("{mime}; charset=utf-8")
    } else {
        mime.to_owned()
    };
    HeaderValue::try_from(value)
        .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"))
}

/// Answers with a file. `None` if it does not exist: then the request is somebody else's.
pub(crate) async fn serve(
    file: StaticFile,
    method: &Method,
    request: &HeaderMap,
) -> Option<Response<Body>> {
    let mut path = file.path;
    let mut metadata = tokio::fs::metadata(&path).await.ok()?;
    if metadata.is_dir() {
        path = path.join("index.html");
        metadata = tokio::fs::metadata(&path).await.ok()?;
    }
    if !metadata.is_file() {
        return None;
    }
    let mut response = Response::new(Body::empty());
    if method != Method::GET && method != Method::HEAD {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Some(response);
    }
    let etag = etag(&metadata);
    let explicit = file
        .content_type
        .and_then(|name| HeaderValue::try_from(name).ok());
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        explicit.unwrap_or_else(|| content_type(&path)),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=0"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if let Some(etag) = &etag {
        headers.insert(header::ETAG, etag.clone());
    }
    if etag.is_some_and(|etag| is_cached(&etag, request)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Some(response);
    }
    if method == Method::HEAD {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(metadata.len()));
    } else {
        *response.body_mut() = Body::file(tokio::fs::File::open(&path).await.ok()?, metadata.len());
    }
    Some(response)
}

/// A tag that changes with the file.
pub(crate) fn etag(metadata: &std::fs::Metadata) -> Option<HeaderValue> {
    let modified = metadata
        .modified()
        .ok()?
        .duration_since(std::time::UNIX_EPOCH)
        .ok()?;
    HeaderValue::try_from(format!(
        "\"{:x}-{:x}\"",
        metadata.len(),
        modified.as_nanos()
    ))
    .ok()
}

/// Whether the client has this version already.
pub(crate) fn is_cached(etag: &HeaderValue, request: &HeaderMap) -> bool {
    let tags = request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(','))
        .any(|tag| tag.trim().trim_start_matches("W/").as_bytes() == etag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> StaticFiles {
        let mut files = StaticFiles::default();
        files.insert("/", StaticFile::new("latency.html"));
        files.insert("/static", StaticFile::new("./pub"));
        files.insert("/a/", StaticFile::new("./pub/"));
        files.insert(
            "/f.txt",
            StaticFile::new("secret.txt").content_type("text/x"),
        );
        files
    }

    fn path(url: &str) -> Option<PathBuf> {
        files().find(url).map(|file| file.path)
    }

    #[test]
    fn urls_are_mapped_as_python_socketio_does() {
        assert_eq!(path("/"), Some("latency.html".into()));
        assert_eq!(path("/static/css/a.css"), Some("./pub/css/a.css".into()));
        assert_eq!(path("/static/"), Some("./pub/".into()));
        assert_eq!(path("/static"), Some("./pub".into()));
        assert_eq!(path("/a/index.html"), Some("./pub/index.html".into()));
        assert_eq!(path("/zz"), Some("latency.html/zz".into()));
        let text = files().find("/f.txt").expect("mapped");
        assert_eq!(
            (text.path, text.content_type),
            ("secret.txt".into(), Some("text/x".to_owned()))
        );
    }

    #[test]
    fn nothing_leads_out_of_the_directory() {
        for url in [
            "/static/../x",
            "/static/..",
            "/static/%2e%2e/x",
            "/static/..%2fx",
            "/static/a/../../x",
            "/static/%00",
            "/static/..%5cx",
            "/static/%ff",
        ] {
            assert_eq!(path(url), None, "{url}");
        }
        // More slashes do not make the rest absolute.
        assert_eq!(path("/static//etc/passwd"), Some("./pub/etc/passwd".into()));
    }
}
