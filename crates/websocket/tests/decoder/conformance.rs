//! The 246 cases of the Autobahn test suite that concern the protocol without extensions, 1.x to
//! 7.x, written as frames in and messages out. Each runs in both roles, at once, byte by byte and
//! in random chunks.

use std::collections::BTreeSet;

use kokanee_websocket::Limits;
use proptest::prelude::*;

use crate::frames::{
    Event, Frame, ROLES, binary, close, close_with, decode_at_once, decode_in_chunks, encode, end,
    middle, ping, pong, text, text_start,
};

const PROTOCOL_ERROR: u16 = 1002;
const INVALID_UTF8: u16 = 1007;

/// "kosme" with an omicron of three bytes, so that its letters differ in length.
const GREEK: &str = "κ\u{1f79}σμε";

/// The state after the peer has sent everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// No error, and no unfinished message.
    Open,
    /// The connection fails with this code.
    Failed(u16),
}

use Verdict::{Failed, Open};

struct Case {
    id: String,
    frames: Vec<Frame>,
    events: Vec<Event>,
    verdict: Verdict,
}

#[derive(Default)]
struct Cases(Vec<Case>);

impl Cases {
    fn add(&mut self, id: impl Into<String>, frames: Vec<Frame>, events: Vec<Event>, v: Verdict) {
        self.0.push(Case {
            id: id.into(),
            frames,
            events,
            verdict: v,
        });
    }
}

fn text_event(text: &str) -> Event {
    Event::Text(text.to_owned())
}

fn ping_event(payload: impl AsRef<[u8]>) -> Event {
    Event::Ping(payload.as_ref().to_vec())
}

fn pong_event(payload: impl AsRef<[u8]>) -> Event {
    Event::Pong(payload.as_ref().to_vec())
}

fn close_event(code: u16, reason: &str) -> Event {
    Event::Close(Some((code, reason.to_owned())))
}

fn all_cases() -> Vec<Case> {
    let mut cases = Cases::default();
    framing(&mut cases);
    pings_and_pongs(&mut cases);
    reserved_bits(&mut cases);
    opcodes(&mut cases);
    fragmentation(&mut cases);
    utf8_handling(&mut cases);
    utf8_sequences(&mut cases);
    close_handling(&mut cases);
    cases.0
}

/// 1.x
fn framing(cases: &mut Cases) {
    // The eighth has the seventh's frame in chops of 997 bytes.
    for (at, len) in [0, 125, 126, 127, 128, 65_535, 65_536, 65_536]
        .into_iter()
        .enumerate()
    {
        let payload = "*".repeat(len);
        cases.add(
            format!("1.1.{}", at + 1),
            vec![text(&payload)],
            vec![text_event(&payload)],
            Open,
        );
        let payload = vec![0xfe; len];
        cases.add(
            format!("1.2.{}", at + 1),
            vec![binary(&payload)],
            vec![Event::Binary(payload)],
            Open,
        );
    }
}

/// 2.x
fn pings_and_pongs(cases: &mut Cases) {
    let bytes = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff";
    cases.add("2.1", vec![ping("")], vec![ping_event("")], Open);
    cases.add(
        "2.2",
        vec![ping("Hello, world!")],
        vec![ping_event("Hello, world!")],
        Open,
    );
    cases.add("2.3", vec![ping(bytes)], vec![ping_event(bytes)], Open);
    for id in ["2.4", "2.6"] {
        let longest = [0xfe; 125];
        cases.add(id, vec![ping(longest)], vec![ping_event(longest)], Open);
    }
    cases.add(
        "2.5",
        vec![ping([0xfe; 126])],
        vec![],
        Failed(PROTOCOL_ERROR),
    );
    cases.add("2.7", vec![pong("")], vec![pong_event("")], Open);
    cases.add(
        "2.8",
        vec![pong("unsolicited")],
        vec![pong_event("unsolicited")],
        Open,
    );
    cases.add(
        "2.9",
        vec![pong("unsolicited"), ping("ping")],
        vec![pong_event("unsolicited"), ping_event("ping")],
        Open,
    );
    for id in ["2.10", "2.11"] {
        let payloads: Vec<_> = (0..10).map(|at| format!("payload-{at}")).collect();
        cases.add(
            id,
            payloads.iter().map(ping).collect(),
            payloads.iter().map(ping_event).collect(),
            Open,
        );
    }
}

/// 3.x
fn reserved_bits(cases: &mut Cases) {
    let hello = || text("Hello, world!");
    let hello_event = || text_event("Hello, world!");
    let failed = Failed(PROTOCOL_ERROR);
    cases.add("3.1", vec![hello().reserved_bits(1)], vec![], failed);
    for (id, bits) in [("3.2", 2), ("3.3", 3), ("3.4", 4)] {
        cases.add(
            id,
            vec![hello(), hello().reserved_bits(bits), ping("")],
            vec![hello_event()],
            failed,
        );
    }
    cases.add(
        "3.5",
        vec![binary("\0\u{1}").reserved_bits(5)],
        vec![],
        failed,
    );
    cases.add(
        "3.6",
        vec![ping("Hello, world!").reserved_bits(6)],
        vec![],
        failed,
    );
    cases.add(
        "3.7",
        vec![close_with(1000, "").reserved_bits(7)],
        vec![],
        failed,
    );
}

/// 4.x
fn opcodes(cases: &mut Cases) {
    let failed = Failed(PROTOCOL_ERROR);
    for (group, first_opcode) in [("4.1", 3), ("4.2", 11)] {
        for at in 0..5 {
            let reserved = |payload: &str| Frame::new(0x80 | (first_opcode + at), payload);
            let payload = if at % 2 == 0 {
                ""
            } else {
                "reserved opcode payload"
            };
            let id = format!("{group}.{}", at + 1);
            if at < 2 {
                cases.add(id, vec![reserved(payload)], vec![], failed);
            } else {
                cases.add(
                    id,
                    vec![text("Hello, world!"), reserved(payload), ping("")],
                    vec![text_event("Hello, world!")],
                    failed,
                );
            }
        }
    }
}

/// 5.x
fn fragmentation(cases: &mut Cases) {
    let failed = Failed(PROTOCOL_ERROR);
    cases.add(
        "5.1",
        vec![Frame::new(0x09, "frag"), end("ment")],
        vec![],
        failed,
    );
    cases.add(
        "5.2",
        vec![Frame::new(0x0a, "frag"), end("ment")],
        vec![],
        failed,
    );
    for id in ["5.3", "5.4", "5.5"] {
        cases.add(
            id,
            vec![text_start("fragment1"), end("fragment2")],
            vec![text_event("fragment1fragment2")],
            Open,
        );
    }
    for id in ["5.6", "5.7", "5.8"] {
        cases.add(
            id,
            vec![text_start("fragment1"), ping("ping"), end("fragment2")],
            vec![ping_event("ping"), text_event("fragment1fragment2")],
            Open,
        );
    }
    for id in ["5.9", "5.10", "5.11"] {
        let frames = vec![end("non-continuation payload"), text("Hello, world!")];
        cases.add(id, frames, vec![], failed);
    }
    for id in ["5.12", "5.13", "5.14"] {
        let frames = vec![middle("non-continuation payload"), text("Hello, world!")];
        cases.add(id, frames, vec![], failed);
    }
    cases.add(
        "5.15",
        vec![
            text_start("fragment1"),
            end("fragment2"),
            middle("fragment3"),
            text("fragment4"),
        ],
        vec![text_event("fragment1fragment2")],
        failed,
    );
    for (id, stray) in [("5.16", middle("fragment1")), ("5.17", end("fragment1"))] {
        let round = [stray, text_start("fragment2"), end("fragment3")];
        cases.add(id, [round.clone(), round].concat(), vec![], failed);
    }
    cases.add(
        "5.18",
        vec![text_start("fragment1"), text("fragment2")],
        vec![],
        failed,
    );
    for id in ["5.19", "5.20"] {
        cases.add(
            id,
            vec![
                text_start("fragment1"),
                middle("fragment2"),
                ping("pongme 1!"),
                middle("fragment3"),
                middle("fragment4"),
                ping("pongme 2!"),
                end("fragment5"),
            ],
            vec![
                ping_event("pongme 1!"),
                ping_event("pongme 2!"),
                text_event("fragment1fragment2fragment3fragment4fragment5"),
            ],
            Open,
        );
    }
}

/// 6.1 to 6.4: text over fragments, and failing fast.
fn utf8_handling(cases: &mut Cases) {
    cases.add("6.1.1", vec![text("")], vec![text_event("")], Open);
    cases.add(
        "6.1.2",
        vec![text_start(""), middle(""), end("")],
        vec![text_event("")],
        Open,
    );
    cases.add(
        "6.1.3",
        vec![text_start(""), middle("middle frame payload"), end("")],
        vec![text_event("middle frame payload")],
        Open,
    );

    let valid = "Hello-µ@ßöäüàá-UTF-8!!";
    let greek = GREEK;
    cases.add("6.2.1", vec![text(valid)], vec![text_event(valid)], Open);
    let (front, back) = valid.split_at(valid.find('ß').unwrap());
    cases.add(
        "6.2.2",
        vec![text_start(front), end(back)],
        vec![text_event(valid)],
        Open,
    );
    cases.add(
        "6.2.3",
        one_byte_fragments(valid.as_bytes()),
        vec![text_event(valid)],
        Open,
    );
    cases.add(
        "6.2.4",
        one_byte_fragments(greek.as_bytes()),
        vec![text_event(greek)],
        Open,
    );

    let failed = Failed(INVALID_UTF8);
    let surrogate = [greek.as_bytes(), b"\xed\xa0\x80edited"].concat();
    cases.add("6.3.1", vec![text(&surrogate)], vec![], failed);
    cases.add("6.3.2", one_byte_fragments(&surrogate), vec![], failed);

    // The peer never sends the end of these: the decoder must fail before it.
    let bad = b"\xf4\x90\x80\x80";
    cases.add(
        "6.4.1",
        vec![text_start(greek), middle(bad)],
        vec![],
        failed,
    );
    cases.add(
        "6.4.2",
        vec![text_start(greek), middle(&bad[..2])],
        vec![],
        failed,
    );
    let whole = text([greek.as_bytes(), bad, b"edited"].concat());
    let bad_start = greek.len();
    cases.add(
        "6.4.3",
        vec![whole.clone().cut_after(bad_start + 4)],
        vec![],
        failed,
    );
    cases.add(
        "6.4.4",
        vec![whole.cut_after(bad_start + 2)],
        vec![],
        failed,
    );
}

fn one_byte_fragments(payload: &[u8]) -> Vec<Frame> {
    let mut frames = vec![text_start("")];
    frames.extend(payload.iter().map(|&byte| middle([byte])));
    frames.push(end(""));
    frames
}

/// 6.5 to 6.23: Markus Kuhn's decoder stress test, one sequence per message.
fn utf8_sequences(cases: &mut Cases) {
    let greek = GREEK.as_bytes();
    let mut group = |number: u32, sequences: Vec<Vec<u8>>, is_valid: fn(usize) -> bool| {
        for (at, sequence) in sequences.into_iter().enumerate() {
            let id = format!("6.{number}.{}", at + 1);
            if is_valid(at) {
                let event = Event::Text(String::from_utf8(sequence.clone()).unwrap());
                cases.add(id, vec![text(sequence)], vec![event], Open);
            } else {
                cases.add(id, vec![text(sequence)], vec![], Failed(INVALID_UTF8));
            }
        }
    };
    let valid = |_| true;
    let invalid = |_| false;
    let list = |sequences: &[&[u8]]| -> Vec<Vec<u8>> {
        sequences.iter().map(|sequence| sequence.to_vec()).collect()
    };

    let some = [
        "hello$world".as_bytes(),
        "hello¢world".as_bytes(),
        "hello€world".as_bytes(),
        "hello𤭢world".as_bytes(),
        greek,
    ];
    group(5, list(&some), valid);
    // The prefixes that end between two characters are valid.
    let prefixes = (1..=greek.len()).map(|len| greek[..len].to_vec()).collect();
    group(6, prefixes, |at| matches!(at + 1, 2 | 5 | 7 | 9 | 11));
    // First possible sequence of a certain length.
    let first: [&[u8]; 4] = [b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"];
    group(7, list(&first), valid);
    group(
        8,
        list(&[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"]),
        invalid,
    );
    // Last possible sequence of a certain length.
    let last: [&[u8]; 4] = [b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"];
    group(9, list(&last), valid);
    let too_long: [&[u8]; 3] = [
        b"\xf7\xbf\xbf\xbf",
        b"\xfb\xbf\xbf\xbf\xbf",
        b"\xfd\xbf\xbf\xbf\xbf\xbf",
    ];
    group(10, list(&too_long), invalid);
    let boundaries: [&[u8]; 5] = [
        b"\xed\x9f\xbf",
        b"\xee\x80\x80",
        b"\xef\xbf\xbd",
        b"\xf4\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
    ];
    group(11, list(&boundaries), |at| at < 4);
    // Unexpected continuation bytes: the first, the last, two to seven of them, all of them.
    let mut unexpected = vec![vec![0x80], vec![0xbf]];
    let alternating = [0x80, 0xbf, 0x80, 0xbf, 0x80, 0xbf];
    unexpected.extend((2..=6).map(|len| alternating[..len].to_vec()));
    unexpected.push((0x80..=0xbf).collect());
    group(12, unexpected, invalid);
    // Lonely start bytes, each followed by a space.
    let lonely = [
        0xc0..=0xdf,
        0xe0..=0xef,
        0xf0..=0xf7,
        0xf8..=0xfb,
        0xfc..=0xfd,
    ];
    let lonely = lonely.map(|starts| starts.flat_map(|start: u8| [start, b' ']).collect());
    group(13, lonely.into(), invalid);
    // The last continuation byte is missing.
    let missing: [&[u8]; 10] = [
        b"\xc0",
        b"\xe0\x80",
        b"\xf0\x80\x80",
        b"\xf8\x80\x80\x80",
        b"\xfc\x80\x80\x80\x80",
        b"\xdf",
        b"\xef\xbf",
        b"\xf7\xbf\xbf",
        b"\xfb\xbf\xbf\xbf",
        b"\xfd\xbf\xbf\xbf\xbf",
    ];
    group(14, list(&missing), invalid);
    group(15, vec![missing.concat()], invalid);
    group(16, list(&[b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"]), invalid);
    // Overlong: a slash, the greatest of each length, NUL.
    let slash: [&[u8]; 5] = [
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xf8\x80\x80\x80\xaf",
        b"\xfc\x80\x80\x80\x80\xaf",
    ];
    group(17, list(&slash), invalid);
    let greatest: [&[u8]; 5] = [
        b"\xc1\xbf",
        b"\xe0\x9f\xbf",
        b"\xf0\x8f\xbf\xbf",
        b"\xf8\x87\xbf\xbf\xbf",
        b"\xfc\x83\xbf\xbf\xbf\xbf",
    ];
    group(18, list(&greatest), invalid);
    let nul: [&[u8]; 5] = [
        b"\xc0\x80",
        b"\xe0\x80\x80",
        b"\xf0\x80\x80\x80",
        b"\xf8\x80\x80\x80\x80",
        b"\xfc\x80\x80\x80\x80\x80",
    ];
    group(19, list(&nul), invalid);
    let surrogates: [&[u8]; 7] = [
        b"\xed\xa0\x80",
        b"\xed\xad\xbf",
        b"\xed\xae\x80",
        b"\xed\xaf\xbf",
        b"\xed\xb0\x80",
        b"\xed\xbe\x80",
        b"\xed\xbf\xbf",
    ];
    group(20, list(&surrogates), invalid);
    let high = &surrogates[..4];
    let low: [&[u8]; 2] = [b"\xed\xb0\x80", b"\xed\xbf\xbf"];
    let paired = high
        .iter()
        .flat_map(|high| low.map(|low| [*high, low].concat()))
        .collect();
    group(21, paired, invalid);
    // U+FFFE, U+FFFF and the same in the other planes.
    let noncharacters = (0..=0x10_u32)
        .flat_map(|plane| [0xfffe, 0xffff].map(|low| plane << 16 | low))
        .map(|code| char::from_u32(code).unwrap().to_string().into_bytes())
        .collect();
    group(22, noncharacters, valid);
    let specials = [0xb9, 0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf].map(|last| vec![0xef, 0xbf, last]);
    group(23, specials.into(), valid);
}

/// 7.x
fn close_handling(cases: &mut Cases) {
    let normal = || close_with(1000, "");
    let normal_event = || close_event(1000, "");
    cases.add(
        "7.1.1",
        vec![text("Hello World!"), normal()],
        vec![text_event("Hello World!"), normal_event()],
        Open,
    );
    // Bytes after the close frame are discarded.
    for (id, after) in [
        ("7.1.2", normal()),
        ("7.1.3", ping("")),
        ("7.1.4", text("Hello World!")),
    ] {
        cases.add(id, vec![normal(), after], vec![normal_event()], Open);
    }
    cases.add(
        "7.1.5",
        vec![text_start("fragment1"), normal(), end("fragment2")],
        vec![normal_event()],
        Open,
    );
    let large = "BAsd7&jh23".repeat(26_214);
    cases.add(
        "7.1.6",
        vec![text(&large), normal(), ping("")],
        vec![text_event(&large), normal_event()],
        Open,
    );

    let failed = Failed(PROTOCOL_ERROR);
    let longest = "*".repeat(123);
    cases.add("7.3.1", vec![close("")], vec![Event::Close(None)], Open);
    cases.add("7.3.2", vec![close("a")], vec![], failed);
    cases.add("7.3.3", vec![normal()], vec![normal_event()], Open);
    cases.add(
        "7.3.4",
        vec![close_with(1000, "Hello World!")],
        vec![close_event(1000, "Hello World!")],
        Open,
    );
    cases.add(
        "7.3.5",
        vec![close_with(1000, &longest)],
        vec![close_event(1000, &longest)],
        Open,
    );
    cases.add(
        "7.3.6",
        vec![close_with(1000, "*".repeat(124))],
        vec![],
        failed,
    );
    cases.add(
        "7.5.1",
        vec![close_with(1000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80edited")],
        vec![],
        Failed(INVALID_UTF8),
    );

    let valid = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999,
    ];
    for (at, code) in valid.into_iter().enumerate() {
        cases.add(
            format!("7.7.{}", at + 1),
            vec![close_with(code, "")],
            vec![close_event(code, "")],
            Open,
        );
    }
    let invalid = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999];
    for (at, code) in invalid.into_iter().enumerate() {
        let id = format!("7.9.{}", at + 1);
        cases.add(id, vec![close_with(code, "")], vec![], failed);
    }
    cases.add("7.13.1", vec![close_with(5000, "")], vec![], failed);
    cases.add("7.13.2", vec![close_with(65_535, "")], vec![], failed);
}

#[test]
fn every_case_ends_as_the_rfc_demands() {
    let limits = Limits::default();
    let cases = all_cases();
    let mut runs = 0;
    for case in &cases {
        for role in ROLES {
            let bytes = encode(&case.frames, role);
            let outcome = decode_at_once(&bytes, role, limits);
            let verdict = match outcome.error {
                None if !outcome.is_mid_message => Open,
                None => panic!("{} is still unfinished as {role:?}", case.id),
                Some(error) => Failed(error.close_code().as_u16()),
            };
            assert_eq!(verdict, case.verdict, "{} as {role:?}", case.id);
            assert!(outcome.events == case.events, "{} as {role:?}", case.id);
            let by_byte = decode_in_chunks(&bytes, &[1], role, limits);
            assert!(by_byte == outcome, "{} as {role:?} byte by byte", case.id);
            let chopped = decode_in_chunks(&bytes, &[997], role, limits);
            assert!(chopped == outcome, "{} as {role:?} in chops", case.id);
            runs += 3;
        }
    }
    println!("{} cases, {runs} runs", cases.len());
    let ids: BTreeSet<_> = cases.iter().map(|case| &case.id).collect();
    assert_eq!(ids.len(), cases.len(), "each case once");
    assert_eq!(cases.len(), 246, "no case is lost");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_case_ends_the_same_in_any_chunks(
        sizes in prop::collection::vec(prop_oneof![3 => 1_usize..8, 1 => 1_usize..3000], 1..40),
    ) {
        let limits = Limits::default();
        for case in all_cases() {
            for role in ROLES {
                let bytes = encode(&case.frames, role);
                let at_once = decode_at_once(&bytes, role, limits);
                let in_chunks = decode_in_chunks(&bytes, &sizes, role, limits);
                prop_assert!(in_chunks == at_once, "{} as {role:?}", case.id);
            }
        }
    }
}
