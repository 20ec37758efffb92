//! Payloads wrapped for JSONP.

use kokanee_engineio::{
    Message, OutPacket, Outgoing, Packet, PayloadDecoder, Revision, decode_jsonp_form,
    encode_jsonp, encode_payload,
};

fn form(body: &str) -> Option<String> {
    let payload = decode_jsonp_form(body.as_bytes())?;
    Some(String::from_utf8_lossy(&payload).into_owned())
}

#[test]
fn payload_is_a_json_string_in_a_call() {
    assert_eq!(encode_jsonp("0", b"1:6"), "___eio[0](\"1:6\");");
    assert_eq!(
        encode_jsonp("12", br#"0{"sid":"x"}"#),
        r#"___eio[12]("0{\"sid\":\"x\"}");"#
    );
}

#[test]
fn index_keeps_digits_only() {
    assert_eq!(encode_jsonp("1);alert(2", b"6"), "___eio[12](\"6\");");
    assert_eq!(encode_jsonp("", b"6"), "___eio[](\"6\");");
    assert_eq!(encode_jsonp("１", b"6"), "___eio[](\"6\");");
}

#[test]
fn payload_is_escaped_as_javascript_does() {
    assert_eq!(
        encode_jsonp(
            "0",
            "4\"\\\n\r\t\u{8}\u{c}\0\u{1e}\u{1f}\u{7f}/é€😀".as_bytes()
        ),
        "___eio[0](\"4\\\"\\\\\\n\\r\\t\\b\\f\\u0000\\u001e\\u001f\u{7f}/é€😀\");"
    );
}

#[test]
fn line_separators_are_escaped() {
    assert_eq!(
        encode_jsonp("0", "4a\u{2028}\u{2029}\u{2027}\u{202a}".as_bytes()),
        "___eio[0](\"4a\\u2028\\u2029\u{2027}\u{202a}\");"
    );
}

#[test]
fn form_field_is_percent_decoded() {
    assert_eq!(form("d=6%3A4hello").as_deref(), Some("6:4hello"));
    assert_eq!(form("d=4a+b%20c%2Bd").as_deref(), Some("4a b c+d"));
    assert_eq!(form("d=4%E2%82%AC%e2%82%ac").as_deref(), Some("4€€"));
    assert_eq!(form("x=1&d=4a&d=4b").as_deref(), Some("4a"));
    assert_eq!(form("d=4a=b").as_deref(), Some("4a=b"));
}

#[test]
fn broken_percent_codes_stay_as_they_are() {
    for broken in ["%", "%4", "%zz", "%4g", "a%"] {
        assert_eq!(form(&format!("d={broken}")).as_deref(), Some(broken));
    }
    assert_eq!(form("d=%%41").as_deref(), Some("%A"));
}

#[test]
fn newlines_are_unescaped() {
    assert_eq!(form(r"d=4a\nb").as_deref(), Some("4a\nb"));
    assert_eq!(form(r"d=4a\\nb").as_deref(), Some(r"4a\nb"));
    assert_eq!(form(r"d=4a\\\nb").as_deref(), Some(r"4a\\nb"));
    assert_eq!(form("d=4a%5Cnb").as_deref(), Some("4a\nb"));
    assert_eq!(form("d=4a%5C%6Eb").as_deref(), Some("4a\nb"));
    assert_eq!(form(r"d=\n\\n\n").as_deref(), Some("\n\\n\n"));
    assert_eq!(form(r"d=4a\\b\").as_deref(), Some(r"4a\\b\"));
}

#[test]
fn missing_field_is_distinguished_from_an_empty_one() {
    assert_eq!(form(""), None);
    assert_eq!(form("x=1&dd=2&d"), None);
    assert_eq!(form("d=").as_deref(), Some(""));
}

#[test]
fn wrapped_payload_is_the_payload_when_the_browser_runs_it() {
    let content = "\"\\\u{2028}\n\u{1e}😀\u{1}";
    let payload = encode_payload(
        Revision::V4,
        &[OutPacket::Message(Outgoing::text(content))],
        false,
    );
    let script = encode_jsonp("7", &payload.bytes);
    let json = script
        .strip_prefix(b"___eio[7](")
        .unwrap()
        .strip_suffix(b");")
        .unwrap();
    let parsed: String = serde_json::from_slice(json).unwrap();
    assert_eq!(parsed.as_bytes(), payload.bytes);
}

#[test]
fn posted_form_is_decoded_as_a_payload() {
    let body = decode_jsonp_form(b"d=6%3A4hello2%3A4%E2%82%AC").unwrap();
    let packets: Result<Vec<_>, _> = PayloadDecoder::new(Revision::V3, body, false).collect();
    let text = |content: &str| Packet::Message(Message::Text(content.into()));
    assert_eq!(packets, Ok(vec![text("hello"), text("€")]));
}
