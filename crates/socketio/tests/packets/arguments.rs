//! Arguments of events: which Rust values become which JSON, and back.

use std::collections::HashMap;

use bytes::Bytes;
use kokanee_socketio::{
    Args, Decoder, EncodeError, EncodedPacket, RawEvent, Value, encode_event, from_value, to_value,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::support::{args, decoder, event, wire};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    x: i32,
    y: Option<f64>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Pair(i32, String);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Newtype((i32, i32));

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Empty,
    Circle(f64),
    Line(i32, i32),
    Box { w: i32, h: i32 },
}

fn json(args: &(impl Serialize + ?Sized)) -> String {
    Args::from_serialize(args)
        .expect("arguments")
        .json()
        .to_owned()
}

#[test]
fn tuples_are_several_arguments() {
    assert_eq!(json(&(1, "a", [2, 3])), r#"1,"a",[2,3]"#);
    assert_eq!(json(&Pair(1, "a".to_owned())), r#"1,"a""#);
    assert_eq!(json(&((1, 2),)), "[1,2]");
    assert_eq!(json(&()), "");
    assert_eq!(json(&Unit), "");
    assert_eq!(json(&&&(1, 2)), "1,2");
    let args = Args::from_serialize(&(1, "a")).unwrap();
    assert_eq!(args.len(), 2);
    assert_eq!(
        args.deserialize::<(i32, String)>().unwrap(),
        (1, "a".to_owned())
    );
    assert_eq!(args.deserialize::<Pair>().unwrap(), Pair(1, "a".to_owned()));
}

#[test]
fn everything_else_is_one_argument() {
    assert_eq!(json(&[1, 2]), "[1,2]");
    assert_eq!(json(&&[1, 2]), "[1,2]");
    assert_eq!(json(&[1, 2][..]), "[1,2]");
    assert_eq!(json(&vec![1, 2]), "[1,2]");
    assert_eq!(json(&Newtype((1, 2))), "[1,2]");
    assert_eq!(json(&Some((1, 2))), "[1,2]");
    assert_eq!(json(&None::<i32>), "null");
    assert_eq!(json("text"), r#""text""#);
    assert_eq!(json(&Point { x: 1, y: None }), r#"{"x":1,"y":null}"#);
    assert_eq!(
        json(&json!([1, {"a": [null, true]}])),
        r#"[1,{"a":[null,true]}]"#
    );
    let args = Args::from_serialize(&[1, 2]).unwrap();
    assert_eq!(args.deserialize::<[i32; 2]>().unwrap(), [1, 2]);
    assert_eq!(args.deserialize::<Vec<i32>>().unwrap(), [1, 2]);
    assert_eq!(args.deserialize::<Newtype>().unwrap(), Newtype((1, 2)));
    assert_eq!(
        args.deserialize::<Option<(i32, i32)>>().unwrap(),
        Some((1, 2))
    );
    assert_eq!(args.deserialize::<((i32, i32),)>().unwrap(), ((1, 2),));
}

#[test]
fn enums_and_structs_are_one_argument() {
    for (shape, text) in [
        (Shape::Empty, r#""Empty""#),
        (Shape::Circle(1.5), r#"{"Circle":1.5}"#),
        (Shape::Line(1, 2), r#"{"Line":[1,2]}"#),
        (Shape::Box { w: 1, h: 2 }, r#"{"Box":{"w":1,"h":2}}"#),
    ] {
        assert_eq!(json(&shape), text);
        assert_eq!(
            args(&format!("2[\"a\",{text}]"))
                .deserialize::<Shape>()
                .unwrap(),
            shape
        );
        let value = to_value(&shape).unwrap();
        assert_eq!(value.to_string(), text);
        assert_eq!(from_value::<Shape>(&value).unwrap(), shape);
    }
    let point = args(r#"2["a",{"x":1,"y":2.5}]"#)
        .deserialize::<Point>()
        .unwrap();
    assert_eq!(point, Point { x: 1, y: Some(2.5) });
}

#[test]
fn further_arguments_are_ignored() {
    let args = args(r#"2["a",1,"b",[2]]"#);
    assert_eq!(args.len(), 3);
    assert_eq!(args.deserialize::<i32>().unwrap(), 1);
    assert_eq!(args.deserialize::<(i32,)>().unwrap(), (1,));
    assert_eq!(
        args.deserialize::<(i32, String)>().unwrap(),
        (1, "b".to_owned())
    );
    assert_eq!(args.deserialize::<Option<i32>>().unwrap(), Some(1));
    args.deserialize::<()>().unwrap();
    assert_eq!(args.deserialize::<Unit>().unwrap(), Unit);
}

#[test]
fn missing_arguments_are_an_error_unless_they_are_optional() {
    let args = Args::none();
    args.deserialize::<()>().unwrap();
    assert_eq!(args.deserialize::<Option<String>>().unwrap(), None);
    assert_eq!(args.deserialize::<Unit>().unwrap(), Unit);
    let message = |error: kokanee_socketio::ArgsError| error.to_string();
    assert_eq!(
        args.deserialize::<String>().map_err(message),
        Err("missing argument, expected a string".to_owned())
    );
    assert_eq!(
        args.deserialize::<Point>().map_err(message),
        Err("missing argument, expected struct Point".to_owned())
    );
    assert_eq!(
        args.deserialize::<(i32, i32)>().map_err(message),
        Err("argument 1 is missing, expected i32".to_owned())
    );
    let one = self::args("2[\"a\",1]");
    assert_eq!(
        one.deserialize::<(i32, i32)>().map_err(message),
        Err("argument 2 is missing, expected i32".to_owned())
    );
    assert_eq!(
        one.deserialize::<(i32, Option<String>, Option<i32>)>()
            .map_err(message),
        Ok((1, None, None))
    );
    assert!(args.deserialize::<[i32; 2]>().is_err());
    assert!(args.deserialize::<Value>().is_err());
    let wrong = self::args("2[\"a\",1]")
        .deserialize::<String>()
        .map_err(message)
        .unwrap_err();
    assert!(
        wrong.starts_with("invalid type: integer `1`, expected a string"),
        "{wrong}"
    );
}

#[test]
fn bytes_are_found_at_any_depth() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct File {
        name: String,
        parts: Vec<Bytes>,
        meta: HashMap<u32, Option<Bytes>>,
    }
    let file = File {
        name: "a".to_owned(),
        parts: vec![Bytes::from_static(b"x"), Bytes::new()],
        meta: HashMap::from([(7, Some(Bytes::from_static(b"z")))]),
    };
    let packet = encode_event("/", None, "up", &(&file, 1)).unwrap();
    assert_eq!(
        wire(&packet),
        [
            r#"53-["up",{"name":"a","parts":[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}],"meta":{"7":{"_placeholder":true,"num":2}}},1]"#,
            r#"b"x""#,
            r#"b"""#,
            r#"b"z""#
        ]
    );
    let mut decoder = decoder();
    let mut decoded = None;
    for frame in packet.default_frames() {
        decoded = decoder.decode(frame.message()).unwrap();
    }
    let event = event(decoded.unwrap());
    assert_eq!(
        event.args().deserialize::<(File, i32)>().unwrap(),
        (file, 1)
    );
    assert_eq!(event.args().size_bytes(), packet.size_bytes());
}

#[test]
fn data_that_looks_like_a_placeholder_cannot_join_bytes() {
    let literal = json!({"_placeholder": true, "num": 99});
    let error = encode_event("/", None, "a", &(literal.clone(), Bytes::new())).unwrap_err();
    assert_eq!(error, EncodeError::PlaceholderInData);
    assert_eq!(
        wire(&encode_event("/", None, "a", &literal).unwrap()),
        [format!("2[\"a\",{literal}]")]
    );
    let text = encode_event("/", None, "a", &("\"_placeholder\":true", Bytes::new())).unwrap();
    assert_eq!(text.attachments().len(), 1);
}

#[test]
fn numbers_that_are_not_finite_become_null() {
    assert_eq!(
        json(&(f64::NAN, f64::INFINITY, f32::NEG_INFINITY, 1.5, 0.1_f32)),
        "null,null,null,1.5,0.1"
    );
    assert_eq!(
        json(&(i64::MIN, u64::MAX)),
        "-9223372036854775808,18446744073709551615"
    );
}

#[test]
fn strings_are_escaped() {
    assert_eq!(
        json("\"\\\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}/é😀"),
        "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}/é😀\""
    );
    assert_eq!(json(&format_args!("a\"{}", 1)), r#""a\"1""#);
    assert_eq!(json(&'"'), r#""\"""#);
}

#[test]
fn keys_are_text() {
    assert_eq!(json(&HashMap::from([(1, 2)])), r#"{"1":2}"#);
    assert_eq!(json(&HashMap::from([(true, 2)])), r#"{"true":2}"#);
    assert_eq!(json(&HashMap::from([('"', 2)])), r#"{"\"":2}"#);
    let error = Args::from_serialize(&HashMap::from([(vec![1], 2)])).unwrap_err();
    assert_eq!(error, EncodeError::KeyNotText);
}

#[test]
fn received_arguments_are_a_tuple_when_they_are_serialised() {
    let args = args(r#"2["a",1,{"b":[2]}]"#);
    assert_eq!(
        wire(&encode_event("/", None, "c", &args).unwrap()),
        [r#"2["c",1,{"b":[2]}]"#]
    );
    assert_eq!(
        wire(&encode_event("/", None, "c", &(&args, 3)).unwrap()),
        [r#"2["c",[1,{"b":[2]}],3]"#]
    );
    assert_eq!(serde_json::to_string(&args).unwrap(), r#"[1,{"b":[2]}]"#);
}

#[test]
fn values_share_their_bytes() {
    let bytes = Bytes::from(vec![7; 100]);
    let args = Args::from_values([Value::from(1), Value::from(bytes.clone())]).unwrap();
    assert_eq!(args.attachments()[0].as_ptr(), bytes.as_ptr());
    let values = args.to_values().unwrap();
    assert_eq!(values[1].as_binary().unwrap().as_ptr(), bytes.as_ptr());
    assert_eq!(from_value::<Vec<u8>>(&values[1]).unwrap(), bytes);
    assert_eq!(to_value(&values[1]).unwrap(), values[1]);
}

#[test]
fn an_event_stays_compact() {
    assert!(size_of::<RawEvent>() <= 100);
    assert!(size_of::<Decoder>() <= 64);
    assert!(size_of::<EncodedPacket>() <= 64);
}
