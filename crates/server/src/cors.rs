//! Cross-origin requests: which pages of other origins may read the server's answers. Spec: Fetch, "CORS protocol".

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Says which pages of other origins may use the server.
///
/// ```
/// use kokanee_server::{Cors, Server};
///
/// let builder = Server::builder().cors(Cors::origins(["https://example.com", "http://localhost:8080"]));
/// ```
#[derive(Clone)]
pub struct Cors {
    origins: Origins,
    pub(crate) credentials: bool,
    methods: HeaderValue,
    allowed_headers: Option<HeaderValue>,
    exposed_headers: Option<HeaderValue>,
    max_age: Option<Duration>,
}

#[derive(Clone)]
enum Origins {
    Any,
    List(Vec<String>),
    /// All by name, `null` included, as the host asks somebody else before the server.
    Every {
        headers: bool,
    },
    Predicate(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

impl std::fmt::Debug for Cors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cors")
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

impl Cors {
    fn new(origins: Origins) -> Self {
        Self {
            origins,
            credentials: false,
            methods: HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE"),
            allowed_headers: None,
            exposed_headers: None,
            max_age: None,
        }
    }

    /// Allows pages of every origin, but not with their visitors' cookies: with a [`cookie`](crate::ServerBuilder::cookie) or
    /// [`credentials`](Self::credentials), a page that is not the server's own is served as if the browser had sent no
    /// `Cookie` and no `Authorization`.
    ///
    /// ```
    /// # use kokanee_server::{Cors, Server};
    /// let builder = Server::builder().cors(Cors::any()); // a public service without logins
    /// ```
    pub fn any() -> Self {
        Self::new(Origins::Any)
    }

    /// Allows pages of these origins, for instance `https://example.com` or `capacitor://localhost`; `*` is [`any`](Self::any).
    ///
    /// They are compared as a whole, without regard to case; the default port of a scheme can be left out. `null` is the origin of
    /// a file or of a sandboxed frame, which any site can have: it is never allowed where cookies are used.
    pub fn origins<S: Into<String>>(origins: impl IntoIterator<Item = S>) -> Self {
        let origins: Vec<String> = origins
            .into_iter()
            .map(Into::into)
            .map(without_path)
            .collect();
        if origins.iter().any(|origin| origin == "*") {
            Self::any()
        } else {
            Self::new(Origins::List(origins))
        }
    }

    /// Allows pages of origins for which the function returns true.
    ///
    /// ```
    /// # use kokanee_server::Cors;
    /// let cors = Cors::predicate(|origin| origin.starts_with("https://") && origin.ends_with(".example.com"));
    /// ```
    pub fn predicate(allow: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self::new(Origins::Predicate(Arc::new(allow)))
    }

    /// Lets browsers send cookies and other credentials with the requests of pages that are allowed by list or predicate.
    /// Default false. Pages that only `*` allows are served without them.
    ///
    /// ```
    /// # use kokanee_server::Cors;
    /// // In JavaScript: io("https://chat.example.com", { withCredentials: true })
    /// let cors = Cors::origins(["https://example.com"]).credentials(true);
    /// ```
    #[must_use]
    pub fn credentials(mut self, allow: bool) -> Self {
        self.credentials = allow;
        self
    }

    /// Sets the request headers that pages may use. Default: those they ask for.
    ///
    /// ```
    /// use http::header::{AUTHORIZATION, HeaderName};
    /// # use kokanee_server::Cors;
    ///
    /// // In JavaScript: io({ extraHeaders: { "x-api-key": "…" } })
    /// let names = [AUTHORIZATION, HeaderName::from_static("x-api-key")];
    /// let cors = Cors::origins(["https://example.com"]).allowed_headers(&names);
    /// ```
    #[must_use]
    pub fn allowed_headers(mut self, names: &[HeaderName]) -> Self {
        self.allowed_headers = Some(join(names));
        self
    }

    /// Sets the response headers that pages may read. Default: none beyond those that browsers always allow.
    #[must_use]
    pub fn exposed_headers(mut self, names: &[HeaderName]) -> Self {
        self.exposed_headers = Some(join(names));
        self
    }

    /// Sets how long a browser may cache the answer to a preflight request, in whole seconds. Default: the browser decides.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    /// Accepts every origin by name, `null` included: for a host that has checked the origin. `headers`: whether answers name
    /// the origin, or the host adds these headers itself.
    #[doc(hidden)]
    pub fn checked_by_host(headers: bool) -> Self {
        Self::new(Origins::Every { headers })
    }

    /// Returns whether all origins are allowed, and none by name.
    pub(crate) fn allows_all(&self) -> bool {
        matches!(self.origins, Origins::Any)
    }

    /// Returns whether answers name what is allowed.
    fn has_headers(&self) -> bool {
        !matches!(self.origins, Origins::Every { headers: false })
    }

    fn is_checked_by_host(&self) -> bool {
        matches!(self.origins, Origins::Every { .. })
    }

    /// Returns whether the origin is allowed by name. `*` allows none by name.
    pub(crate) fn names(&self, origin: &str) -> bool {
        match &self.origins {
            Origins::Any => false,
            Origins::Every { .. } => true,
            Origins::List(origins) => origins.iter().any(|allowed| is_same(allowed, origin)),
            Origins::Predicate(allow) => origin != "null" && allow(origin),
        }
    }

    /// Adds the headers of every answer.
    pub(crate) fn apply(&self, request: &HeaderMap, response: &mut HeaderMap) {
        if !self.has_headers() {
            return;
        }
        if self.allows_all() {
            response.insert(
                header::ACCESS_CONTROL_ALLOW_ORIGIN,
                HeaderValue::from_static("*"),
            );
        } else {
            response.append(header::VARY, HeaderValue::from_static("Origin"));
            let origin = request.get(header::ORIGIN);
            if let Some(origin) =
                origin.filter(|origin| origin.to_str().is_ok_and(|origin| self.names(origin)))
            {
                response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                let is_named = origin != "null" || self.is_checked_by_host();
                if self.credentials && is_named {
                    let yes = HeaderValue::from_static("true");
                    response.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
                }
            }
        }
        if let Some(exposed) = &self.exposed_headers {
            response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }

    /// Adds the headers of the answer to a preflight request.
    pub(crate) fn apply_preflight(&self, request: &HeaderMap, response: &mut HeaderMap) {
        if !self.has_headers() {
            return;
        }
        self.apply(request, response);
        response.insert(header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        let asked = || request.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        if self.allowed_headers.is_none() {
            response.append(
                header::VARY,
                HeaderValue::from_static("Access-Control-Request-Headers"),
            );
        }
        if let Some(allowed) = self.allowed_headers.clone().or_else(asked) {
            response.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        }
        if let Some(max_age) = self.max_age {
            response.insert(
                header::ACCESS_CONTROL_MAX_AGE,
                HeaderValue::from(max_age.as_secs()),
            );
        }
    }
}

/// Removes a `/` at the end: an origin has no path, but is often written with one.
fn without_path(mut origin: String) -> String {
    if origin.ends_with('/') && !origin.ends_with("//") {
        origin.pop();
    }
    origin
}

fn join(names: &[HeaderName]) -> HeaderValue {
    let joined = names
        .iter()
        .map(HeaderName::as_str)
        .collect::<Vec<_>>()
        .join(",");
    HeaderValue::try_from(joined).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Whether two texts are the same origin: scheme and host have no case, and a scheme's own port can be left out.
fn is_same(one: &str, other: &str) -> bool {
    without_default_port(one).eq_ignore_ascii_case(without_default_port(other))
}

fn without_default_port(origin: &str) -> &str {
    let has_scheme = |scheme: &str| {
        origin
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    let port = if has_scheme("http://") {
        ":80"
    } else if has_scheme("https://") {
        ":443"
    } else {
        return origin;
    };
    origin.strip_suffix(port).unwrap_or(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_check_the_origin_and_add_the_headers_itself() {
        let mut request = HeaderMap::new();
        request.insert(header::ORIGIN, HeaderValue::from_static("null"));
        let answer = |cors: Cors| {
            let mut response = HeaderMap::new();
            cors.apply_preflight(&request, &mut response);
            response
        };
        assert!(answer(Cors::checked_by_host(false)).is_empty());
        let response = answer(Cors::checked_by_host(true).credentials(true));
        assert_eq!(response[header::ACCESS_CONTROL_ALLOW_ORIGIN], "null");
        assert_eq!(response[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
    }

    #[test]
    fn the_same_origin_can_be_spelled_in_several_ways() {
        assert!(is_same("https://A.example:443", "https://a.example"));
        assert!(is_same("HTTP://a.example", "http://a.example:80"));
        assert!(is_same("Capacitor://localhost", "capacitor://localhost"));
        assert!(!is_same("http://a.example:443", "http://a.example"));
        assert!(!is_same("https://a.example:80", "https://a.example"));
        assert!(!is_same("https://a.example:8443", "https://a.example"));
        assert!(!is_same("https://a.example", "http://a.example"));
        assert!(!is_same(
            "capacitor://localhost:80",
            "capacitor://localhost"
        ));
    }
}
