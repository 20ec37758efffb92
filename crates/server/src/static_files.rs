//! Static files outside of the Socket.IO path, with the mapping of python-socketio, and files that are part of the program.
//!
//! Files that may be in a directory by accident are not served: names that begin with a dot, except `.well-known`
//! (RFC 8615), and targets of symbolic links outside of the directory. A path that is mapped itself is always served.

use std::{
    collections::BTreeMap,
    hash::BuildHasher,
    path::{Component, Path, PathBuf},
};

use bytes::Bytes;
use foldhash::fast::FixedState;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use crate::{body::Body, error::ListenError};

/// Describes a file or a directory to serve; see [`Server::serve_static`](crate::Server::serve_static). A path converts to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticFile {
    content: Content,
    /// The directory in which it was found, and outside of which it must not be.
    within: Option<PathBuf>,
    content_type: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Path(PathBuf),
    Memory(&'static [u8]),
}

impl StaticFile {
    /// Describes a file or directory; the content type follows from the name.
    ///
    /// ```no_run
    /// # let io = kokanee_server::Server::new();
    /// use http::{HeaderValue, header::CACHE_CONTROL};
    /// use kokanee_server::StaticFile;
    ///
    /// let page = StaticFile::new("index.html").header(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    /// io.serve_static("/", page);
    /// ```
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            content: Content::Path(path.into()),
            within: None,
            content_type: None,
            headers: Vec::new(),
        }
    }

    /// Describes a file that is part of the program. It answers for its URL alone, even if a directory is mapped to the same.
    ///
    /// ```no_run
    /// # let io = kokanee_server::Server::new();
    /// use kokanee_server::StaticFile;
    ///
    /// io.serve_static("/", StaticFile::embedded("text/html; charset=utf-8", b"<!doctype html><title>hello</title>"));
    /// io.serve_static("/", "public");
    /// ```
    pub fn embedded(content_type: impl Into<String>, content: &'static [u8]) -> Self {
        Self {
            content: Content::Memory(content),
            within: None,
            content_type: Some(content_type.into()),
            headers: Vec::new(),
        }
    }

    /// Adds a header to the answers with this file. Files in a directory do not get it.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sets the content type. Default: by the extension of the file's name.
    ///
    /// ```
    /// use kokanee_server::StaticFile;
    ///
    /// let file = StaticFile::new("data/schema").content_type("application/json");
    /// ```
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

/// The files by their URLs.
#[derive(Debug, Default, Clone)]
pub(crate) struct StaticFiles {
    files: BTreeMap<String, StaticFile>,
    embedded: BTreeMap<String, StaticFile>,
}

impl StaticFiles {
    pub(crate) fn insert(&mut self, url: &str, file: StaticFile) {
        let url = if url.starts_with('/') {
            url.to_owned()
        } else {
            format!("/{url}")
        };
        match file.content {
            Content::Path(_) => self.files.insert(url, file),
            Content::Memory(_) => self.embedded.insert(url, file),
        };
    }

    /// Checks that all mapped files and directories exist.
    pub(crate) fn check(&self) -> Result<(), ListenError> {
        for file in self.files.values() {
            if let Content::Path(path) = &file.content {
                path.metadata().map_err(|source| ListenError::Files {
                    path: path.display().to_string(),
                    source,
                })?;
            }
        }
        Ok(())
    }

    /// Returns the file for a URL's path: an exact match, embedded files first; otherwise the longest mapped path above it
    /// with the rest appended.
    pub(crate) fn find(&self, url_path: &str) -> Option<StaticFile> {
        if self.embedded.is_empty() && self.files.is_empty() {
            return None;
        }
        let decoded = percent_encoding::percent_decode_str(url_path)
            .decode_utf8()
            .ok()?;
        let exact = self.embedded.get(&*decoded);
        if let Some(file) = exact.or_else(|| self.files.get(&*decoded)) {
            return Some(file.clone());
        }
        let mut end = decoded.len();
        loop {
            // The part above the last remaining `/`, with it and without it.
            let above = decoded[..end].rfind('/')?;
            let mapped = self
                .files
                .get(&decoded[..=above])
                .or_else(|| self.files.get(&decoded[..above]));
            if let Some(Content::Path(directory)) = mapped.map(|mapped| &mapped.content) {
                let rest = Path::new(decoded[above..].trim_start_matches('/'));
                // `..`, a root or a drive would lead out of the directory.
                let inside = rest
                    .components()
                    .all(|part| matches!(part, Component::Normal(_)));
                let clean = !decoded[above..].contains(['\0', '\\']);
                return (inside && clean && !is_hidden(rest)).then(|| StaticFile {
                    within: Some(directory.clone()),
                    ..StaticFile::new(directory.join(rest))
                });
            }
            end = above;
        }
    }
}

/// Returns whether a part of a path in a directory begins with a dot. The first part may be `.well-known`.
fn is_hidden(rest: &Path) -> bool {
    rest.iter().enumerate().any(|(index, part)| {
        let is_well_known = index == 0 && part == ".well-known";
        part.as_encoded_bytes().starts_with(b".") && !is_well_known
    })
}

/// Returns the content type by a file's name.
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

/// The source of an answer's bytes, after its existence was checked.
enum Source {
    Disk(PathBuf),
    Memory(&'static [u8]),
}

/// Answers with a file. Returns `None` if it does not exist.
pub(crate) async fn serve(
    file: StaticFile,
    method: &Method,
    request: &HeaderMap,
) -> Option<Response<Body>> {
    let mut guessed = HeaderValue::from_static("application/octet-stream");
    let (source, size, etag) = match file.content {
        Content::Path(path) => {
            let found = find_on_disk(path, file.within).await?;
            guessed = content_type(&found.name);
            let etag = etag(&found.metadata);
            (Source::Disk(found.path), found.metadata.len(), etag)
        }
        Content::Memory(bytes) => {
            let tag = format!("\"{:x}\"", FixedState::default().hash_one(bytes));
            let etag = HeaderValue::try_from(tag).ok();
            (Source::Memory(bytes), bytes.len() as u64, etag)
        }
    };
    let mut response = Response::new(Body::empty());
    if method != Method::GET && method != Method::HEAD {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Some(response);
    }
    let explicit = file
        .content_type
        .and_then(|name| HeaderValue::try_from(name).ok());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, explicit.unwrap_or(guessed));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=0"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.extend(
        file.headers
            .into_iter()
            .map(|(name, value)| (Some(name), value)),
    );
    if let Some(etag) = &etag {
        headers.insert(header::ETAG, etag.clone());
    }
    if etag.is_some_and(|etag| is_cached(&etag, request)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Some(response);
    }
    if method == Method::HEAD {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
        return Some(response);
    }
    *response.body_mut() = match source {
        Source::Disk(path) => Body::file(tokio::fs::File::open(&path).await.ok()?, size),
        Source::Memory(bytes) => Body::full(Bytes::from_static(bytes)),
    };
    Some(response)
}

/// A file that exists.
struct Found {
    /// The requested path.
    name: PathBuf,
    /// The path of the file, with symbolic links resolved if it must be in a directory.
    path: PathBuf,
    metadata: std::fs::Metadata,
}

/// Returns the file of a path; for a directory its `index.html`. If it is in a mapped directory, symbolic links neither lead
/// out of the directory nor to hidden files in it.
async fn find_on_disk(mut name: PathBuf, mut within: Option<PathBuf>) -> Option<Found> {
    if tokio::fs::metadata(&name).await.ok()?.is_dir() {
        let directory = name.clone();
        name.push("index.html");
        within.get_or_insert(directory);
    }
    let path = match within {
        None => name.clone(),
        Some(directory) => {
            let directory = tokio::fs::canonicalize(directory).await.ok()?;
            let path = tokio::fs::canonicalize(&name).await.ok()?;
            if is_hidden(path.strip_prefix(&directory).ok()?) {
                return None;
            }
            path
        }
    };
    let metadata = tokio::fs::metadata(&path).await.ok()?;
    metadata.is_file().then_some(Found {
        name,
        path,
        metadata,
    })
}

/// Returns an entity tag that changes with the file.
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

/// Returns whether the client has this version already.
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
        match files().find(url)?.content {
            Content::Path(path) => Some(path),
            Content::Memory(_) => None,
        }
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
        assert_eq!(text, StaticFile::new("secret.txt").content_type("text/x"));
    }

    #[tokio::test]
    async fn an_embedded_file_answers_for_its_url_alone() {
        let mut files = files();
        let page = StaticFile::embedded("text/html", b"<p>")
            .header(header::CONTENT_LANGUAGE, HeaderValue::from_static("en"));
        files.insert("/", page.clone());
        assert_eq!(files.find("/"), Some(page.clone()));
        let other = files.find("/zz").expect("mapped");
        assert_eq!(other.content, Content::Path("latency.html/zz".into()));

        let answer = serve(page.clone(), &Method::HEAD, &HeaderMap::new())
            .await
            .expect("it exists");
        let header = |name| {
            answer
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        assert_eq!(header(header::CONTENT_TYPE), Some("text/html"));
        assert_eq!(header(header::CONTENT_LANGUAGE), Some("en"));
        assert_eq!(header(header::CONTENT_LENGTH), Some("3"));

        let known = HeaderMap::from_iter([(
            header::IF_NONE_MATCH,
            answer.headers()[header::ETAG].clone(),
        )]);
        let answer = serve(page, &Method::GET, &known).await.expect("it exists");
        assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn names_that_begin_with_a_dot_are_hidden() {
        for url in [
            "/static/.env",
            "/static/.git/config",
            "/static/css/.DS_Store",
            "/static/%2eenv",
            "/static//.env",
            "/static/./.env",
            "/static/a/.well-known/x",
            "/static/.well-known/.x",
            "/static/...",
        ] {
            assert_eq!(path(url), None, "{url}");
        }
        let allowed = "/static/.well-known/security.txt";
        assert_eq!(path(allowed), Some("./pub/.well-known/security.txt".into()));
        // What is mapped itself was meant.
        let mut files = files();
        files.insert("/.env", StaticFile::new("example.env"));
        assert_eq!(files.find("/.env"), Some(StaticFile::new("example.env")));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn links_lead_neither_out_of_the_directory_nor_to_what_is_hidden() {
        use std::{fs, os::unix::fs::symlink};
        let top = std::env::temp_dir().join(format!("kokanee-links-{}", std::process::id()));
        let public = top.join("public");
        fs::create_dir_all(public.join("sub")).expect("a directory");
        fs::create_dir_all(top.join("out")).expect("a directory");
        for name in [
            "public/page.html",
            "public/.secret",
            "out/index.html",
            "other",
        ] {
            fs::write(top.join(name), name).expect("written");
        }
        for (target, link) in [
            ("page.html", "public/inside"),
            ("../page.html", "public/sub/inside"),
            ("../other", "public/outside"),
            ("../out", "public/folder"),
            (".secret", "public/shown"),
            ("nowhere", "public/broken"),
            ("loop", "public/loop"),
            ("../../out/index.html", "public/sub/index.html"),
            ("public", "linked"),
        ] {
            symlink(target, top.join(link)).expect("a link");
        }
        let mut files = StaticFiles::default();
        files.insert("/", StaticFile::new(top.join("public")));
        files.insert("/linked", StaticFile::new(top.join("linked")));
        files.insert("/mapped", StaticFile::new(public.join("outside")));
        for (url, is_served) in [
            ("/page.html", true),
            ("/inside", true),
            ("/sub/inside", true),
            ("/outside", false),
            ("/folder", false),
            ("/folder/", false),
            ("/folder/index.html", false),
            ("/shown", false),
            ("/broken", false),
            ("/loop", false),
            ("/sub", false),
            ("/sub/", false),
            // A directory that is a link, and a file that is mapped, were meant.
            ("/linked/page.html", true),
            ("/linked/outside", false),
            ("/mapped", true),
        ] {
            let file = files.find(url).expect("mapped");
            let answer = serve(file, &Method::GET, &HeaderMap::new()).await;
            assert_eq!(answer.is_some(), is_served, "{url}");
        }
        fs::remove_dir_all(top).expect("ours");
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
