//! The demo page, which is embedded in the program, and the client that it uses.

use std::path::{Path, PathBuf};

use kokanee::{
    Server,
    http::{HeaderValue, header},
    server::StaticFile,
};

/// The page loads only from its own server, and connects only to it.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; object-src 'none'; base-uri 'none'",
);

const FILES: [(&str, &str, &[u8]); 5] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_bytes!("../page/index.html"),
    ),
    (
        "/page.css",
        "text/css; charset=utf-8",
        include_bytes!("../page/page.css"),
    ),
    (
        "/page.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../page/page.js"),
    ),
    (
        "/client.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../page/client.js"),
    ),
    (
        "/favicon.svg",
        "image/svg+xml",
        include_bytes!("../page/favicon.svg"),
    ),
];

/// Where the official client is in a project that uses it, and in this repository.
const CLIENT_DIRECTORIES: [&str; 2] = [
    "node_modules/socket.io-client/dist",
    "tests/interop/node_modules/socket.io-client/dist",
];

/// Serves the demo page at `/`.
pub(crate) fn serve(io: &Server) {
    for (url, content_type, content) in FILES {
        let file = StaticFile::embedded(content_type, content);
        io.serve_static(
            url,
            file.header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        );
    }
}

/// Returns the directory of the official client, if there is one below `directory`.
pub(crate) fn find_client(directory: &Path) -> Option<PathBuf> {
    CLIENT_DIRECTORIES
        .into_iter()
        .find(|client| directory.join(client).join("socket.io.js").is_file())
        .map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_for_nothing_that_is_not_served() {
        let (_, _, page) = FILES[0];
        let page = str::from_utf8(page).expect("the page is text");
        let links = ["href=\"/", "src=\"/"]
            .iter()
            .flat_map(|attribute| page.split(attribute).skip(1));
        let mut urls = links
            .filter_map(|rest| rest.split('"').next())
            .map(|path| format!("/{path}"))
            .peekable();
        assert!(urls.peek().is_some());
        for url in urls {
            assert!(FILES.iter().any(|(served, ..)| *served == url), "{url}");
        }
    }
}
