//! Cookies of one connection: what the server sets comes back with every request, for sticky sessions behind proxies.

use http::{HeaderMap, HeaderValue, header};

/// Most cookies that are kept, and the longest one.
const MAX_COOKIES: usize = 50;
const MAX_COOKIE_BYTES: usize = 4096;

/// Name and value of each cookie.
#[derive(Clone, Default)]
pub(crate) struct Cookies(Vec<(String, String)>);

impl Cookies {
    /// Takes what an answer sets. All requests go to one server and path, so domain and path do not matter.
    pub(crate) fn take(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all(header::SET_COOKIE) {
            let Some(cookie) = cookie
                .to_str()
                .ok()
                .filter(|text| text.len() <= MAX_COOKIE_BYTES)
            else {
                continue;
            };
            let mut parts = cookie.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
                continue;
            };
            self.0.retain(|(known, _)| known != name);
            let is_deleted = parts.any(|attribute| {
                attribute.split_once('=').is_some_and(|(key, value)| {
                    key.eq_ignore_ascii_case("max-age")
                        && value.parse::<i64>().is_ok_and(|seconds| seconds <= 0)
                })
            });
            if !is_deleted && !name.is_empty() && self.0.len() < MAX_COOKIES {
                self.0.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    /// The header for the next request.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let cookies: Vec<_> = self
            .0
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if cookies.is_empty() {
            return None;
        }
        HeaderValue::try_from(cookies.join("; ")).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_set_replaced_and_deleted() {
        let mut cookies = Cookies::default();
        let mut take = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::SET_COOKIE, HeaderValue::from_static(value));
            }
            cookies.take(&headers);
            cookies
                .header()
                .map(|value| value.to_str().expect("text").to_owned())
        };
        assert_eq!(take(&[]), None);
        assert_eq!(
            take(&["io=1; Path=/; HttpOnly", "node=a", "nonsense"]).as_deref(),
            Some("io=1; node=a")
        );
        assert_eq!(take(&["io=2"]).as_deref(), Some("node=a; io=2"));
        assert_eq!(take(&["node=; Max-Age=0"]).as_deref(), Some("io=2"));
    }
}
