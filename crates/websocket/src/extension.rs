//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455, 9.1): extensions with their parameters.

use std::borrow::Cow;

/// One extension of a header, with its parameters in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extension<'h> {
    pub(crate) name: &'h str,
    pub(crate) parameters: Vec<(&'h str, Option<Cow<'h, str>>)>,
}

/// Reads one value of the header; `None` if it does not follow the grammar.
pub(crate) fn parse(value: &str) -> Option<Vec<Extension<'_>>> {
    let mut extensions = Vec::new();
    let mut rest = Rest(value);
    loop {
        rest.skip_space();
        // An empty element of a list is allowed (RFC 9110, 5.6.1.2).
        if !matches!(rest.0.as_bytes().first(), None | Some(b',')) {
            extensions.push(rest.extension()?);
        }
        if rest.0.is_empty() {
            return Some(extensions);
        }
        rest.expect(b',')?;
    }
}

/// The unread rest of the header.
struct Rest<'h>(&'h str);

impl<'h> Rest<'h> {
    fn extension(&mut self) -> Option<Extension<'h>> {
        let name = self.token()?;
        let mut parameters = Vec::new();
        while self.expect(b';').is_some() {
            self.skip_space();
            let name = self.token()?;
            let value = match self.expect(b'=') {
                Some(()) => {
                    self.skip_space();
                    Some(self.value()?)
                }
                None => None,
            };
            parameters.push((name, value));
        }
        Some(Extension { name, parameters })
    }

    /// Takes a value. "When using the quoted-string syntax variant, the value after quoted-string unescaping MUST
    /// conform to the 'token' ABNF." (9.1)
    fn value(&mut self) -> Option<Cow<'h, str>> {
        let Some(quoted) = self.0.strip_prefix('"') else {
            return self.token().map(Cow::Borrowed);
        };
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.0 = &quoted[at + 1..];
                    self.skip_space();
                    let is_token = !value.is_empty() && value.bytes().all(is_token_byte);
                    return is_token.then_some(Cow::Owned(value));
                }
                '\\' => value.push(characters.next()?.1),
                other => value.push(other),
            }
        }
        None
    }

    fn token(&mut self) -> Option<&'h str> {
        let len = self
            .0
            .bytes()
            .take_while(|&byte| is_token_byte(byte))
            .count();
        if len == 0 {
            return None;
        }
        let (token, rest) = self.0.split_at(len);
        self.0 = rest;
        self.skip_space();
        Some(token)
    }

    /// Takes this byte and the space after it, or nothing.
    fn expect(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(char::from(byte))?;
        self.skip_space();
        Some(())
    }

    fn skip_space(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str) -> Option<Vec<(String, Vec<String>)>> {
        let extensions = parse(value)?;
        let render = |(name, value): (&str, Option<Cow<'_, str>>)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.to_owned(),
        };
        Some(
            extensions
                .into_iter()
                .map(|Extension { name, parameters }| {
                    (
                        name.to_owned(),
                        parameters.into_iter().map(render).collect(),
                    )
                })
                .collect(),
        )
    }

    fn extension(name: &str, parameters: &[&str]) -> (String, Vec<String>) {
        let parameters = parameters.iter().map(|&parameter| parameter.to_owned());
        (name.to_owned(), parameters.collect())
    }

    #[test]
    fn extensions_are_separated_by_commas_and_parameters_by_semicolons() {
        assert_eq!(
            parsed("foo, bar;baz=2 ;\tqux , a ; b = c"),
            Some(vec![
                extension("foo", &[]),
                extension("bar", &["baz=2", "qux"]),
                extension("a", &["b=c"]),
            ])
        );
    }

    #[test]
    fn value_may_be_quoted() {
        assert_eq!(
            parsed(r#"a; b="1\0"; c"#),
            Some(vec![extension("a", &["b=10", "c"])])
        );
    }

    #[test]
    fn empty_elements_are_ignored() {
        assert_eq!(parsed(""), Some(vec![]));
        assert_eq!(
            parsed(" ,a,, b,"),
            Some(vec![extension("a", &[]), extension("b", &[])])
        );
    }

    #[test]
    fn invalid_grammar_is_refused() {
        let malformed = [
            "a b",
            "a;",
            "a;;b",
            "a;b=",
            "a;b=\"",
            "a;b=\"\"",
            "a;b=\"x y\"",
            "a;b=\"x\"y",
            "=1",
            "a;b=1=2",
            "é",
            "a;b=\"\\",
            "/",
        ];
        for value in malformed {
            assert_eq!(parsed(value), None, "{value}");
        }
    }
}
