//! Attachments and their placeholders: how many, which stand for what, and what is data.

use bytes::Bytes;
use kokanee_socketio::{
    DecodeError, Decoder, DecoderLimits, ParserKind, Value, encode_event, encode_event_args,
};

use crate::support::{args, binary, decode, decode_with, decoder, event, text, wire};

#[test]
fn a_second_header_while_attachments_are_outstanding() {
    let mut decoder = decoder();
    assert_eq!(decoder.decode(text("52-[\"a\"]")), Ok(None));
    assert_eq!(decoder.decode(binary(b"x")), Ok(None));
    assert_eq!(
        decoder.decode(text("51-[\"a\"]")),
        Err(DecodeError::UnexpectedText)
    );
}

#[test]
fn attachment_counts() {
    for packet in [
        "5",
        "5-",
        "5x",
        "51",
        "50-[\"a\"]",
        "5-1-[]",
        "50x1-[]",
        "51e0-[]",
        "51.5-[]",
        "60-[]",
        "6[]",
    ] {
        assert_eq!(
            decode(packet),
            Err(DecodeError::IllegalAttachmentCount),
            "{packet}"
        );
    }
    for count in ["11", "1000000000", "1000000000000000000000000000000"] {
        assert_eq!(
            decode(&format!("5{count}-[]")),
            Err(DecodeError::TooManyAttachments { max: 10 })
        );
    }
    let ten = [&b"x"[..]; 10];
    assert!(decode_with("510-[\"a\"]", &ten).is_ok());
}

#[test]
fn unused_attachments_and_repeated_placeholders() {
    let packet = decode_with(
        r#"52-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#,
        &[b"x", b"y"],
    );
    let (first, second) = event(packet.unwrap())
        .args()
        .deserialize::<(Bytes, Bytes)>()
        .unwrap();
    assert_eq!((&first[..], &second[..]), (&b"x"[..], &b"x"[..]));
}

#[test]
fn placeholders_must_stand_for_an_attachment() {
    for num in [
        "1",
        "-1",
        "\"0\"",
        "\"splice\"",
        "0.5",
        "0.0",
        "1e0",
        "null",
        "[]",
        "\"__proto__\"",
        "99999999999999999999",
    ] {
        let packet = format!(r#"51-["a",{{"_placeholder":true,"num":{num}}}]"#);
        assert_eq!(
            decode_with(&packet, &[b"x"]),
            Err(DecodeError::IllegalPlaceholder),
            "{num}"
        );
    }
    let missing = decode_with(r#"51-["a",{"_placeholder":true}]"#, &[b"x"]);
    assert_eq!(missing, Err(DecodeError::IllegalPlaceholder));
}

#[test]
fn unusual_placeholders_are_placeholders() {
    for placeholder in [
        r#"{"num":0,"_placeholder":true}"#,
        r#"{ "_placeholder" : true , "num" : 0 }"#,
        r#"{"_placeholder":true,"num":0,"more":1}"#,
        r#"{"\u005fplaceholder":true,"num":0}"#,
        r#"{"_placeholder":false,"num":9,"_placeholder":true,"num":0}"#,
    ] {
        let packet = decode_with(&format!("51-[\"a\\n\",{placeholder}]"), &[b"x"]).unwrap();
        let event = event(packet);
        assert_eq!(event.name(), "a\n");
        assert_eq!(
            event.args().deserialize::<Bytes>().unwrap(),
            b"x"[..],
            "{placeholder}"
        );
        assert_eq!(
            wire(&encode_event_args("/", None, "a", event.args()).unwrap()),
            [r#"51-["a",{"_placeholder":true,"num":0}]"#, "b\"x\""]
        );
    }
}

#[test]
fn only_unusual_placeholders_are_rewritten() {
    for (before, after) in [
        (
            r#"{"num":0,"_placeholder":true},"\u0061", [1.50 ,{"a":{"num":1,"_placeholder":true}}],{"b":1,"b":2}"#,
            r#"{"_placeholder":true,"num":0},"\u0061", [1.50 ,{"a":{"_placeholder":true,"num":1}}],{"b":1,"b":2}"#,
        ),
        (
            r#"{"_placeholder":false,"num":0},{"num":1,"_placeholder":true,"_placeholder":1},{"_placeholder":[true]}"#,
            r#"{"_placeholder":false,"num":0},{"num":1,"_placeholder":true,"_placeholder":1},{"_placeholder":[true]}"#,
        ),
        (
            r#"[{"num":9,"num":1,"_placeholder":true,"in":{"num":0,"_placeholder":true}}],{"num":0,"_placeholder":true}"#,
            r#"[{"_placeholder":true,"num":1}],{"_placeholder":true,"num":0}"#,
        ),
    ] {
        let packet = decode_with(&format!("52-[\"a\",{before}]"), &[b"x", b"y"]).unwrap();
        assert_eq!(event(packet).args().json(), after);
    }
    for illegal in [
        r#""0""#,
        "-1",
        "1.0",
        "2",
        "null",
        "[0]",
        "{}",
        "18446744073709551616",
    ] {
        let packet = format!("52-[\"a\",{{\"num\":{illegal},\"_placeholder\":true}}]");
        assert_eq!(
            decode_with(&packet, &[b"x", b"y"]),
            Err(DecodeError::IllegalPlaceholder),
            "{illegal}"
        );
    }
}

#[test]
fn data_like_a_placeholder_is_unchanged() {
    for data in [
        r#"{"_placeholder":false,"num":0}"#,
        r#"{"_placeholder":1,"num":0}"#,
        r#""_placeholder""#,
        r#""\"_placeholder""#,
    ] {
        let packet = decode_with(&format!("51-[\"a\",{data}]"), &[b"x"]).unwrap();
        let values = event(packet).args().to_values().unwrap();
        assert_eq!(values[0].to_string(), data);
    }
}

#[test]
fn placeholders_without_attachments_are_data() {
    for num in ["0", "99", "\"splice\""] {
        let data = format!(r#"{{"_placeholder":true,"num":{num}}}"#);
        let args = args(&format!("2[\"a\",{data}]"));
        assert_eq!(args.json(), data);
        assert_eq!(args.deserialize::<Value>().unwrap().to_string(), data);
        assert_eq!(
            wire(&encode_event("/", None, "a", &args).unwrap()),
            [format!("2[\"a\",{data}]")]
        );
    }
}

#[test]
fn one_attachment_is_not_multiplied() {
    let placeholder = r#"{"_placeholder":true,"num":0}"#;
    let many = [placeholder; 11].join(",");
    let too_many = DecodeError::TooManyAttachments { max: 10 };
    assert_eq!(
        decode_with(&format!("51-[\"a\",{many}]"), &[b"x"]),
        Err(too_many.clone())
    );
    let unusual = [r#"{"num":0,"_placeholder":true}"#; 11].join(",");
    assert_eq!(
        decode_with(&format!("51-[\"a\",{unusual}]"), &[b"x"]),
        Err(too_many)
    );
    let limits = DecoderLimits {
        max_attachment_bytes: 3,
        ..DecoderLimits::default()
    };
    let mut decoder = Decoder::new(ParserKind::Default, limits);
    decoder
        .decode(text(&format!("51-[\"a\",{placeholder},{placeholder}]")))
        .unwrap();
    assert_eq!(
        decoder.decode(binary(b"xy")),
        Err(DecodeError::AttachmentsTooLarge { max: 3 })
    );
}

#[test]
fn attachments_are_bounded_together() {
    let limits = DecoderLimits {
        max_attachment_bytes: 3,
        ..DecoderLimits::default()
    };
    let mut decoder = Decoder::new(ParserKind::Default, limits);
    assert_eq!(decoder.decode(text("52-[\"a\"]")), Ok(None));
    assert_eq!(decoder.decode(binary(b"xy")), Ok(None));
    assert_eq!(
        decoder.decode(binary(b"xy")),
        Err(DecodeError::AttachmentsTooLarge { max: 3 })
    );
    assert!(!decoder.is_waiting());
}
