//! What two ends agree on about compression (RFC 7692, 7.1), seen from either.

#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

use kokanee_websocket::{DeflateAgreement, DeflateOptions, NegotiationError, WindowBits};

fn window(bits: u8) -> WindowBits {
    WindowBits::new(bits).unwrap()
}

/// Options that request nothing and allow everything.
fn lax() -> DeflateOptions {
    DeflateOptions {
        keep_own_context: true,
        keep_peer_context: true,
        ..DeflateOptions::default()
    }
}

fn answer(options: &DeflateOptions, offer: &str) -> Option<String> {
    options.accept_offer([offer]).map(|(_, answer)| answer)
}

/// The negotiated terms: own context and window, peer's context and window.
fn terms(agreement: &DeflateAgreement) -> (bool, u8, bool, u8) {
    (
        agreement.keeps_own_context(),
        agreement.own_window().as_u8(),
        agreement.keeps_peer_context(),
        agreement.peer_window().as_u8(),
    )
}

#[test]
fn no_context_is_kept_unless_wanted() {
    let options = DeflateOptions::default();
    let offer = options.offer();
    assert_eq!(
        offer,
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
         client_max_window_bits"
    );
    let (server, answer) = options.accept_offer([offer.as_str()]).unwrap();
    assert_eq!(
        answer,
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    );
    assert_eq!(terms(&server), (false, 15, false, 15));
    let client = options.accept_answer([answer.as_str()]).unwrap().unwrap();
    assert_eq!(terms(&client), (false, 15, false, 15));
}

#[test]
fn both_ends_come_to_the_same_terms() {
    let windows = [9, 12, 15];
    let all = windows.iter().flat_map(|&own| {
        windows.iter().flat_map(move |&peer| {
            (0..4_u8).map(move |flags| DeflateOptions {
                keep_own_context: flags & 1 != 0,
                keep_peer_context: flags & 2 != 0,
                own_window: window(own),
                peer_window: window(peer),
                ..DeflateOptions::default()
            })
        })
    });
    let all: Vec<_> = all.collect();
    for client_options in &all {
        for server_options in &all {
            let offer = client_options.offer();
            let (server, answer) = server_options.accept_offer([offer.as_str()]).unwrap();
            let client = client_options.accept_answer([answer.as_str()]);
            let client = client.unwrap().unwrap();
            assert!(
                client.own_window() <= server.peer_window(),
                "{offer} / {answer}"
            );
            assert!(
                server.own_window() <= client.peer_window(),
                "{offer} / {answer}"
            );
            assert!(client.keeps_own_context() <= server.keeps_peer_context());
            assert!(server.keeps_own_context() <= client.keeps_peer_context());
            for (agreement, options) in [(client, client_options), (server, server_options)] {
                assert!(agreement.keeps_own_context() <= options.keep_own_context);
                assert!(agreement.keeps_peer_context() <= options.keep_peer_context);
                assert!(agreement.own_window() <= options.own_window);
                assert!(
                    !agreement.keeps_peer_context()
                        || agreement.peer_window() <= options.peer_window
                );
            }
        }
    }
}

#[test]
fn server_answers_what_browsers_offer() {
    assert_eq!(
        answer(&lax(), "permessage-deflate; client_max_window_bits").unwrap(),
        "permessage-deflate"
    );
    assert_eq!(
        answer(
            &DeflateOptions::default(),
            "permessage-deflate; client_max_window_bits"
        )
        .unwrap(),
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    );
}

#[test]
fn server_repeats_the_window_it_was_asked_for() {
    let (agreement, answer) = lax()
        .accept_offer(["permessage-deflate; server_max_window_bits=10; client_max_window_bits=11"])
        .unwrap();
    assert_eq!(
        answer,
        "permessage-deflate; server_max_window_bits=10; client_max_window_bits=11"
    );
    assert_eq!(terms(&agreement), (true, 10, true, 11));
    let at_the_maximum = "permessage-deflate; server_max_window_bits=15";
    assert_eq!(
        self::answer(&lax(), at_the_maximum).unwrap(),
        at_the_maximum
    );
}

#[test]
fn server_does_not_limit_the_window_of_a_client_that_did_not_allow_it() {
    let options = DeflateOptions {
        peer_window: window(10),
        ..lax()
    };
    let (agreement, answer) = options.accept_offer(["permessage-deflate"]).unwrap();
    // It requests the other parameter that bounds its memory, which needs no permission.
    assert_eq!(answer, "permessage-deflate; client_no_context_takeover");
    assert_eq!(terms(&agreement), (true, 15, false, 15));
}

#[test]
fn server_takes_the_first_offer_that_it_can_honour() {
    let offers = [
        "x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; unknown",
        "permessage-deflate; server_max_window_bits=11, permessage-deflate",
    ];
    let (_, answer) = lax().accept_offer(offers).unwrap();
    assert_eq!(answer, "permessage-deflate; server_max_window_bits=11");
}

#[test]
fn server_declines_what_it_cannot_honour() {
    let declined = [
        "",
        "permessage-bzip2",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=010",
        "permessage-deflate; server_max_window_bits=+9",
        "permessage-deflate; client_max_window_bits=",
        "permessage-deflate; client_max_window_bits=100",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
        "permessage-deflate; unknown=1",
        "permessage-deflate;",
    ];
    for offer in declined {
        assert_eq!(answer(&lax(), offer), None, "{offer}");
    }
}

#[test]
fn client_without_an_answer_does_not_compress() {
    assert_eq!(DeflateOptions::default().accept_answer([]), Ok(None));
    assert_eq!(DeflateOptions::default().accept_answer([""]), Ok(None));
}

#[test]
fn client_follows_the_limits_of_the_server() {
    let agreement = lax()
        .accept_answer([
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=9; \
             client_no_context_takeover; client_max_window_bits=\"12\"",
        ])
        .unwrap()
        .unwrap();
    assert_eq!(terms(&agreement), (false, 12, false, 9));
}

#[test]
fn client_fails_on_an_answer_that_it_did_not_ask_for() {
    let invalid = NegotiationError::InvalidParameter;
    let cases = [
        ("permessage-deflate; x", invalid),
        ("permessage-deflate; server_max_window_bits=16", invalid),
        ("permessage-deflate; client_max_window_bits", invalid),
        (
            "permessage-deflate; client_max_window_bits=9; client_max_window_bits=9",
            invalid,
        ),
        ("permessage-bzip2", NegotiationError::NotOffered),
        (
            "permessage-deflate, permessage-deflate",
            NegotiationError::Repeated,
        ),
        ("permessage-deflate=1", NegotiationError::Malformed),
    ];
    for (answer, error) in cases {
        assert_eq!(lax().accept_answer([answer]), Err(error), "{answer}");
    }
}

#[test]
fn client_fails_on_an_answer_without_what_it_demands() {
    assert_eq!(
        DeflateOptions::default().accept_answer(["permessage-deflate"]),
        Err(NegotiationError::Unmet {
            parameter: "server_no_context_takeover"
        })
    );
    let options = DeflateOptions {
        peer_window: window(10),
        ..lax()
    };
    assert!(options.offer().contains("server_max_window_bits=10"));
    for answer in [
        "permessage-deflate",
        "permessage-deflate; server_max_window_bits=11",
    ] {
        assert_eq!(
            options.accept_answer([answer]),
            Err(NegotiationError::Unmet {
                parameter: "server_max_window_bits"
            })
        );
    }
}
