//! Compression of responses with gzip or deflate. Spec: RFC 9110, "Accept-Encoding".

use std::io::Write;

use bytes::Bytes;
use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use http::{HeaderMap, HeaderValue, header};

/// An encoding that clients may accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Gzip,
    Deflate,
}

/// Returns the encoding that the client prefers; gzip if it prefers none.
pub(crate) fn negotiate(headers: &HeaderMap) -> Option<Encoding> {
    let mut weights = [None, None, None];
    for value in headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
    {
        for part in value.split(',') {
            let mut pieces = part.split(';').map(str::trim);
            let name = pieces.next().unwrap_or_default();
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            let slot = if is("gzip") || is("x-gzip") {
                0
            } else if is("deflate") {
                1
            } else if name == "*" {
                2
            } else {
                continue;
            };
            let weight = pieces
                .find_map(|piece| piece.strip_prefix("q="))
                .map_or(Some(1.0), |q| q.parse().ok());
            weights[slot] = weight.filter(|weight: &f32| weight.is_finite());
        }
    }
    let [gzip, deflate, any] = weights;
    let (gzip, deflate) = (gzip.or(any).unwrap_or(0.0), deflate.or(any).unwrap_or(0.0));
    if gzip > 0.0 && gzip >= deflate {
        Some(Encoding::Gzip)
    } else if deflate > 0.0 {
        Some(Encoding::Deflate)
    } else {
        None
    }
}

/// Compresses a body, and sets the headers for it.
pub(crate) fn compress(body: Bytes, encoding: Encoding, response: &mut HeaderMap) -> Bytes {
    let compressed = match encoding {
        Encoding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&body).and_then(|()| encoder.finish())
        }
        Encoding::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&body).and_then(|()| encoder.finish())
        }
    };
    // Writing to memory does not fail; if it did, the body would be sent uncompressed.
    let Ok(compressed) = compressed else {
        return body;
    };
    response.insert(
        header::CONTENT_ENCODING,
        HeaderValue::from_static(match encoding {
            Encoding::Gzip => "gzip",
            Encoding::Deflate => "deflate",
        }),
    );
    response.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    Bytes::from(compressed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(value: &'static str) -> Option<Encoding> {
        negotiate(&HeaderMap::from_iter([(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static(value),
        )]))
    }

    #[test]
    fn the_greatest_weight_wins_and_gzip_of_equal_ones() {
        assert_eq!(accepting("deflate, gzip, br"), Some(Encoding::Gzip));
        assert_eq!(
            accepting("gzip;q=0.5, deflate;q=0.8"),
            Some(Encoding::Deflate)
        );
        assert_eq!(accepting("*"), Some(Encoding::Gzip));
        assert_eq!(accepting("gzip;q=0, *;q=0.1"), Some(Encoding::Deflate));
    }

    #[test]
    fn nothing_acceptable_means_no_compression() {
        assert_eq!(accepting("br"), None);
        assert_eq!(accepting("gzip;q=0"), None);
        assert_eq!(accepting("gzip;q=nonsense"), None);
        assert_eq!(negotiate(&HeaderMap::new()), None);
    }
}
