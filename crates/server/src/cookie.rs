//! The handshake cookie, with which a load balancer can send a session's requests to the same server.

use std::{fmt::Write, time::Duration};

use http::HeaderValue;
use kokanee_engineio::Sid;

/// Says whether a browser sends the cookie with requests from other sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// Never.
    Strict,
    /// With top-level navigation only.
    Lax,
    /// Always; needs `Secure`.
    None,
}

/// Describes a cookie with the session's id. Default: `io=…; Path=/; HttpOnly; SameSite=Lax`, and `Secure` under TLS.
///
/// A load balancer can use it to send all requests of a session to the same server:
///
/// ```
/// use kokanee_server::{Cookie, SameSite, Server};
///
/// # fn build() -> Result<Server, kokanee_server::InvalidCookie> {
/// let cookie = Cookie::new("node")?.path(Some("/socket.io"))?.same_site(SameSite::None).secure(true);
/// Ok(Server::builder().cookie(cookie).build())
/// # }
/// # build().expect("valid");
/// ```
#[derive(Debug, Clone)]
pub struct Cookie {
    name: String,
    path: Option<String>,
    domain: Option<String>,
    max_age: Option<Duration>,
    http_only: bool,
    secure: bool,
    same_site: SameSite,
    /// What comes after the value, instead of all attributes.
    attributes: Option<CookieAttributes>,
}

/// Gives the attributes of a cookie as they are on the wire, such as `; Path=/; Secure`: of [`Cookie::attributes`], or in the
/// extensions of the request that opens a session, for its cookie alone.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieAttributes(String);

impl CookieAttributes {
    /// Takes attributes, each after `; `.
    ///
    /// # Errors
    /// [`InvalidCookie`] for characters that would end the header.
    pub fn new(text: &str) -> Result<Self, InvalidCookie> {
        let fits = text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
        let begins = text.is_empty() || text.starts_with("; ");
        if !fits || !begins {
            return Err(InvalidCookie { part: "attributes" });
        }
        Ok(Self(text.to_owned()))
    }

    fn is_secure(&self) -> bool {
        let mut attributes = self.0.split(';');
        attributes.any(|attribute| attribute.trim().eq_ignore_ascii_case("secure"))
    }
}

/// Reports that a part of a cookie has characters that would end it.
///
/// ```
/// let error = kokanee_server::Cookie::new("a=b").unwrap_err();
/// assert_eq!(error.to_string(), "invalid character in the cookie's name");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid character in the cookie's {part}")]
pub struct InvalidCookie {
    part: &'static str,
}

impl Default for Cookie {
    fn default() -> Self {
        Self {
            name: "io".to_owned(),
            path: Some("/".to_owned()),
            domain: None,
            max_age: None,
            http_only: true,
            secure: false,
            same_site: SameSite::Lax,
            attributes: None,
        }
    }
}

fn checked(part: &'static str, value: &str) -> Result<String, InvalidCookie> {
    let fits = |c: char| {
        c.is_ascii_graphic() && !matches!(c, ';' | ',' | '"' | '\\') && (part != "name" || c != '=')
    };
    if value.is_empty() || !value.chars().all(fits) {
        return Err(InvalidCookie { part });
    }
    Ok(value.to_owned())
}

impl Cookie {
    /// Creates a cookie of this name.
    ///
    /// # Errors
    /// [`InvalidCookie`] if the name is not valid.
    pub fn new(name: &str) -> Result<Self, InvalidCookie> {
        Ok(Self {
            name: checked("name", name)?,
            ..Self::default()
        })
    }

    /// Sets the path; `None` sets no path. Default `/`.
    ///
    /// # Errors
    /// [`InvalidCookie`] for characters that would end it.
    pub fn path(mut self, path: Option<&str>) -> Result<Self, InvalidCookie> {
        self.path = path.map(|path| checked("path", path)).transpose()?;
        Ok(self)
    }

    /// Sets the domain. Default: none, so the cookie belongs to the server's own host.
    ///
    /// ```
    /// use kokanee_server::Cookie;
    ///
    /// let cookie = Cookie::default().domain("example.com")?; // its subdomains receive the cookie, too
    /// # Ok::<_, kokanee_server::InvalidCookie>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidCookie`] for characters that would end it.
    pub fn domain(mut self, domain: &str) -> Result<Self, InvalidCookie> {
        self.domain = Some(checked("domain", domain)?);
        Ok(self)
    }

    /// Sets how long the browser keeps the cookie, in whole seconds. Default: until the browser is closed.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    /// Sets whether the cookie is hidden from scripts. Default true.
    #[must_use]
    pub fn http_only(mut self, http_only: bool) -> Self {
        self.http_only = http_only;
        self
    }

    /// Sets whether the cookie is sent over TLS only. Default: if the session was opened over TLS.
    #[must_use]
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// Sets whether the cookie is sent with requests from other sites. Default [`SameSite::Lax`].
    #[must_use]
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Sets all attributes as they are on the wire; only `Secure` is added if the session was opened over TLS.
    #[doc(hidden)]
    #[must_use]
    pub fn attributes(mut self, attributes: CookieAttributes) -> Self {
        self.attributes = Some(attributes);
        self
    }

    /// Returns the header for a session. `own`: the attributes for this session alone.
    pub(crate) fn header(
        &self,
        sid: &Sid,
        secure: bool,
        own: Option<&CookieAttributes>,
    ) -> HeaderValue {
        let mut cookie = format!("{}={}", self.name, sid.as_str());
        if let Some(attributes) = own.or(self.attributes.as_ref()) {
            cookie.push_str(&attributes.0);
            if secure && !attributes.is_secure() {
                cookie.push_str("; Secure");
            }
        } else {
            self.push_attributes(&mut cookie, secure);
        }
        let mut header =
            HeaderValue::try_from(cookie).unwrap_or_else(|_| HeaderValue::from_static(""));
        header.set_sensitive(true);
        header
    }

    fn push_attributes(&self, cookie: &mut String, secure: bool) {
        let mut attribute = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = write!(cookie, "; {name}{value}");
        };
        if let Some(max_age) = self.max_age {
            attribute("Max-Age=", &max_age.as_secs().to_string());
        }
        if let Some(domain) = &self.domain {
            attribute("Domain=", domain);
        }
        if let Some(path) = &self.path {
            attribute("Path=", path);
        }
        if self.http_only {
            attribute("HttpOnly", "");
        }
        if self.secure || secure {
            attribute("Secure", "");
        }
        attribute(
            "SameSite=",
            match self.same_site {
                SameSite::Strict => "Strict",
                SameSite::Lax => "Lax",
                SameSite::None => "None",
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sid() -> Sid {
        Sid::from_random([0; 15])
    }

    #[test]
    fn the_default_is_that_of_the_javascript_server() {
        let header = Cookie::default().header(&sid(), false, None);
        assert_eq!(
            header,
            "io=AAAAAAAAAAAAAAAAAAAA; Path=/; HttpOnly; SameSite=Lax"
        );
    }

    #[test]
    fn all_attributes_can_be_set() {
        let cookie = Cookie::new("sess")
            .and_then(|cookie| cookie.path(None))
            .expect("valid");
        let cookie = cookie
            .http_only(false)
            .same_site(SameSite::Strict)
            .max_age(Duration::from_secs(86400));
        assert_eq!(
            cookie.header(&sid(), true, None),
            "sess=AAAAAAAAAAAAAAAAAAAA; Max-Age=86400; Secure; SameSite=Strict"
        );
    }

    #[test]
    fn attributes_of_the_application_are_sent_as_they_are() {
        let attributes = |text| CookieAttributes::new(text).expect("valid");
        let expires = attributes("; path=/; Expires=Wed, 21 Oct 2026 07:28:00 GMT");
        let cookie = Cookie::default().attributes(expires);
        assert_eq!(
            cookie.header(&sid(), true, None),
            "io=AAAAAAAAAAAAAAAAAAAA; path=/; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Secure"
        );
        let own = attributes("; secure");
        assert_eq!(
            cookie.header(&sid(), true, Some(&own)),
            "io=AAAAAAAAAAAAAAAAAAAA; secure"
        );
        assert!(CookieAttributes::new("; a\r\nB: c").is_err());
        assert!(CookieAttributes::new("x").is_err());
    }

    #[test]
    fn what_would_end_an_attribute_is_refused() {
        assert_eq!(
            Cookie::new("a=b").unwrap_err(),
            InvalidCookie { part: "name" }
        );
        assert!(
            Cookie::new("a;b").is_err()
                && Cookie::new("").is_err()
                && Cookie::new("a\r\n").is_err()
        );
        assert!(Cookie::default().path(Some("/;Domain=evil")).is_err());
        assert!(Cookie::default().domain("a\u{1}").is_err());
    }
}
