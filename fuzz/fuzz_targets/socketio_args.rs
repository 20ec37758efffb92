//! The arguments of events: as values, as types, and back. Received values can be sent and are received as the same
//! values.

#![no_main]

use bytes::Bytes;
use kokanee_engineio::Message;
use kokanee_fuzz::{are_same, messages};
use kokanee_socketio::{
    Args, Decoder, DecoderLimits, Packet, ParserKind, Value, encode_event, from_value, to_value,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut decoder = Decoder::new(ParserKind::Both, DecoderLimits::default());
    for message in messages(input) {
        match decoder.decode(message) {
            Ok(Some(Packet::Event { event, .. })) => check(&event.into_args()),
            Ok(Some(Packet::Ack { args, .. })) => check(&args),
            Ok(_) => {}
            Err(_) => return,
        }
    }
});

fn check(args: &Args) {
    deserialize(args);
    let values = args.to_values().expect("every JSON has a value");
    assert_eq!(values.len(), args.len());
    let rebuilt = Args::from_values(values.clone()).expect("received arguments can be sent");
    assert_eq!(rebuilt.to_values().as_ref().ok(), Some(&values));
    // Every value is the same by itself and among the arguments.
    if let Some(first) = values.first() {
        assert_eq!(args.deserialize::<Value>().as_ref().ok(), Some(first));
        assert_eq!(to_value(first).as_ref().ok(), Some(first));
        assert_eq!(from_value::<Value>(first).as_ref().ok(), Some(first));
    }
    // Over the wire, with the encoder for types.
    let Ok(encoded) = encode_event("/", None, "event", &args) else {
        panic!("received arguments can be sent");
    };
    let limits = DecoderLimits {
        max_attachments: usize::MAX,
        ..DecoderLimits::default()
    };
    let mut decoder = Decoder::new(ParserKind::Default, limits.clone());
    let mut decoded = None;
    for frame in encoded.default_frames() {
        decoded = decoder.decode(frame.message()).expect("it is a packet");
    }
    let Some(Packet::Event { event, .. }) = decoded else {
        panic!("it is an event");
    };
    assert_eq!(event.name(), "event");
    assert_eq!(event.args().to_values().as_ref().ok(), Some(&values));
    let mut decoder = Decoder::new(ParserKind::Msgpack, limits);
    let message: Message = encoded.msgpack().message();
    let Ok(Some(Packet::Event { event, .. })) = decoder.decode(message) else {
        panic!("it is an event");
    };
    let again = event.args().to_values().unwrap_or_default();
    assert!(are_same(&again, &values), "{values:?} became {again:?}");
}

/// Arguments can be deserialised to any type.
fn deserialize(args: &Args) {
    let _ = args.deserialize::<()>();
    let _ = args.deserialize::<bool>();
    let _ = args.deserialize::<i64>();
    let _ = args.deserialize::<u8>();
    let _ = args.deserialize::<f32>();
    let _ = args.deserialize::<String>();
    let _ = args.deserialize::<char>();
    let _ = args.deserialize::<Bytes>();
    let _ = args.deserialize::<Option<Vec<Value>>>();
    let _ = args.deserialize::<(Value, Option<Bytes>)>();
    let _ = args.deserialize::<(String, (i64, f64), Vec<u8>)>();
    let _ = args.deserialize::<[Value; 2]>();
    let _ = args.deserialize::<serde_json::Value>();
    let _ = args.deserialize::<std::collections::BTreeMap<String, Value>>();
    let _ = args.deserialize::<Choice>();
    let _ = args.deserialize::<(Choice, Choice)>();
}

/// All kinds of variants.
#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "only deserialised")]
enum Choice {
    Unit,
    Newtype(Bytes),
    Tuple(i64, Option<Box<Choice>>),
    Struct { bytes: Bytes, text: String },
}
