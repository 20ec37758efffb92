//! JSON that Rust types do not hold, that is nested deeply, or that has white space: it is read and forwarded unchanged.

use std::collections::HashMap;

use bytes::Bytes;
use kokanee_socketio::{
    AckId, DecodeError, Decoder, DecoderLimits, EncodeError, Packet, ParserKind, Value, encode_ack,
    encode_ack_args, encode_event, encode_event_args, from_json,
};
use serde::Deserialize;
use serde_json::json;

use crate::support::{args, decode, decode_with, event, text, wire};

#[test]
fn whitespace_is_allowed_where_json_allows_it() {
    let event = event(decode("2[ \"a\" , 1 ,\t{ \"b\" : [ ] } ]\r\n").unwrap());
    assert_eq!((event.name(), event.args().len()), ("a", 2));
    assert_eq!(
        event
            .args()
            .deserialize::<(i32, Value)>()
            .unwrap()
            .1
            .to_string(),
        r#"{"b":[]}"#
    );
    let args = event.args();
    let echoed = wire(&encode_event_args("/", None, "a", args).unwrap()).remove(0);
    assert_eq!(
        decode(&echoed).unwrap(),
        decode("2[\"a\", 1 ,\t{ \"b\" : [ ] } ]").unwrap()
    );
    assert!(self::args("31[ ]").is_empty());
}

#[test]
fn nesting_is_bounded_and_received_packets_can_be_forwarded() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let args = args(&format!("2[\"a\",{}]", nested(511)));
    let value: Value = args.deserialize().unwrap();
    let echoed = encode_event("/", None, "a", &value).unwrap();
    assert_eq!(wire(&echoed), [format!("2[\"a\",{}]", nested(511))]);
    assert_eq!(
        wire(&encode_event_args("/", None, "a", &args).unwrap()),
        wire(&echoed)
    );
    assert_eq!(
        wire(&encode_ack("/", AckId(1), &value).unwrap()),
        [format!("31[{}]", nested(511))]
    );
    assert_eq!(
        encode_event("/", None, "a", &vec![value]).unwrap_err(),
        EncodeError::TooDeep { max: 512 }
    );
    for depth in [512, 5_000, 100_000] {
        let packet = format!("2[\"a\",{}]", nested(depth));
        assert_eq!(decode(&packet), Err(DecodeError::TooDeep { max: 512 }));
    }
    assert_eq!(
        decode(&format!("2[\"a\",{}", "[".repeat(1_000_000))),
        Err(DecodeError::TooDeep { max: 512 })
    );
    let limits = DecoderLimits {
        max_depth: 2,
        ..DecoderLimits::default()
    };
    let mut decoder = Decoder::new(ParserKind::Default, limits);
    assert!(decoder.decode(text("2[\"a\",[1]]")).is_ok());
    assert_eq!(
        decoder.decode(text("2[\"a\",[[]]]")),
        Err(DecodeError::TooDeep { max: 2 })
    );
}

/// JSON that JavaScript reads and Rust's types cannot represent: the text, and its value.
const ODD: [(&str, &str); 14] = [
    (r#""hi \ud83d""#, r#""hi \ufffd""#),
    (r#""\ud83d hi""#, r#""\ufffd hi""#),
    (r#""\ude00""#, r#""\ufffd""#),
    (r#""\uDE00\uD83D""#, r#""\ufffd\ufffd""#),
    (r#""\ud83d\ud83d\ude00""#, r#""\ufffd😀""#),
    (r#""\ud83d\n\\""#, r#""\ufffd\n\\""#),
    (r#""\ud83d\u0041""#, r#""\ufffdA""#),
    (
        r#"{"\ud83d":1,"b":[{"\udfff":"\ud800"}]}"#,
        r#"{"\ufffd":1,"b":[{"\ufffd":"\ufffd"}]}"#,
    ),
    ("1e400", "null"),
    ("-1e400", "null"),
    ("[1E+400,-1.5e-400,1e-400]", "[null,-0.0,0.0]"),
    ("123456789012345678901234567890", "1.2345678901234568e29"),
    (
        r#"{"a":1e999,"b":"\ud83d","c":[true,false,null,{},[],-1,1.5,"é"]}"#,
        r#"{"a":null,"b":"\ufffd","c":[true,false,null,{},[],-1,1.5,"é"]}"#,
    ),
    (" [ 1 , 1e400 , \"\\ud83d\" ] ", r#"[1,null,"\ufffd"]"#),
];

#[test]
fn every_json_has_a_value_and_is_forwarded_unchanged() {
    for (json, value) in ODD {
        let expected: serde_json::Value = serde_json::from_str(value).unwrap();
        let packet = format!("2[\"a\",{json}]");
        let args = args(&packet);
        assert_eq!(args.json(), json);
        assert_eq!(args.deserialize::<serde_json::Value>().unwrap(), expected);
        let expected = Value::from(expected);
        assert_eq!(args.deserialize::<Value>().unwrap(), expected, "{json}");
        assert_eq!(args.to_values().unwrap()[0], expected, "{json}");
        // Among other arguments, and in acknowledgements.
        let several = self::args(&format!("31[0,{json},\"x\"]"));
        let (zero, odd, x) = several.deserialize::<(u8, Value, String)>().unwrap();
        assert_eq!(
            (zero, odd, x.as_str()),
            (0, expected.clone(), "x"),
            "{json}"
        );
        assert_eq!(
            wire(&encode_event_args("/", None, "a", &args).unwrap()),
            [packet]
        );
        assert_eq!(
            wire(&encode_ack_args("/", AckId(1), &several)),
            [format!("31[0,{json},\"x\"]")]
        );
        // And among bytes, with any form of placeholder.
        let placeholder = r#"{"_placeholder":true,"num":0}"#;
        for unusual in [
            placeholder,
            r#"{ "num" : 0, "\u005fplaceholder":true, "x":[{}] }"#,
        ] {
            let packet = format!("51-[\"a\",{json},{unusual}]");
            let event = event(decode_with(&packet, &[b"x"]).unwrap());
            let (odd, bytes) = event.args().deserialize::<(Value, Bytes)>().unwrap();
            assert_eq!((&odd, &bytes[..]), (&expected, &b"x"[..]), "{json}");
            assert_eq!(
                wire(&encode_event_args("/", None, "a", event.args()).unwrap())[0],
                format!("51-[\"a\",{json},{placeholder}]")
            );
        }
    }
    let long = "9".repeat(400);
    let args = args(&format!("2[\"a\",{long},-{long}]"));
    assert_eq!(args.to_values().unwrap(), [Value::Null, Value::Null]);
    assert_eq!(args.json(), format!("{long},-{long}"));
}

#[test]
fn odd_json_has_a_value_in_every_type() {
    #[derive(Debug, PartialEq, Deserialize)]
    enum Shape {
        Empty,
        Named(String),
        Sized { width: f64 },
        Pair(f64, String),
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct All {
        text: String,
        character: char,
        number: f64,
        small: f32,
        none: Option<f64>,
        some: Option<String>,
        exact: u128,
        shapes: Vec<Shape>,
        by_number: HashMap<i32, f64>,
        tuple: (bool, Newtype),
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Newtype(String);
    let json = r#"{"text":"\ud83d!","character":"\udead","number":-1e400,"small":1e39,"none":null,"some":"\ud83d",
        "exact":340282366920938463463374607431768211455,"ignored":["\ud83d",{"a":1e400}],
        "shapes":["Empty",{"Named":"\ud83d"},{"Sized":{"width":1e400}},{"Pair":[1,"\ud83d"]}],
        "by_number":{"1":2,"-3":1e400},"tuple":[true,"\ud83d"]}"#;
    let args = args(&format!("2[\"a\",{json}]"));
    let text = |text: &str| text.to_owned();
    assert_eq!(
        args.deserialize::<All>().unwrap(),
        All {
            text: text("\u{fffd}!"),
            character: '\u{fffd}',
            number: f64::NEG_INFINITY,
            small: f32::INFINITY,
            none: None,
            some: Some(text("\u{fffd}")),
            exact: u128::MAX,
            shapes: vec![
                Shape::Empty,
                Shape::Named(text("\u{fffd}")),
                Shape::Sized {
                    width: f64::INFINITY
                },
                Shape::Pair(1.0, text("\u{fffd}")),
            ],
            by_number: HashMap::from([(1, 2.0), (-3, f64::INFINITY)]),
            tuple: (true, Newtype(text("\u{fffd}"))),
        }
    );
    // JSON that fits no type is an error of the arguments.
    let error = self::args("2[\"a\",1e400]")
        .deserialize::<u64>()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid type: floating point `inf`, expected u64"
    );
    let args = self::args(r#"2["a",[1,2,"\ud83d"]]"#);
    assert!(args.deserialize::<((u8, u8),)>().is_err());
    assert!(args.deserialize::<((u8, u8, u8),)>().is_err());
}

#[test]
fn odd_json_may_be_as_deep_as_any() {
    let deepest = format!("{}\"\\ud83d\"{}", "[".repeat(511), "]".repeat(511));
    let args = args(&format!("2[\"a\",{deepest}]"));
    let value: Value = args.deserialize().unwrap();
    assert_eq!(value.to_string(), deepest.replace("\\ud83d", "\u{fffd}"));
}

#[test]
fn odd_names_and_payloads_are_read() {
    for (json, name) in [
        (r#""a\ud83d""#, "a\u{fffd}"),
        (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
        ("1e999", "1e999"),
        ("-1e-999", "-1e-999"),
    ] {
        let event = event(decode(&format!("2[{json},1]")).unwrap());
        assert_eq!((event.name(), event.args().json()), (name, "1"));
    }
    let auth = r#"{"token":"\ud83d","n":1e400}"#;
    let Ok(Packet::Connect { auth: read, .. }) = decode(&format!("0{auth}")) else {
        panic!()
    };
    assert_eq!(read.as_deref(), Some(auth));
    let auth: Value = from_json(&read.unwrap()).unwrap();
    assert_eq!(auth, Value::from(json!({"token": "\u{fffd}", "n": null})));
    for text in ["", "{", r#"{"a":"\ud83d""#, "1e400x", "nul"] {
        assert!(from_json::<Value>(text).is_err(), "{text}");
    }
}
