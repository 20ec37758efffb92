//! What browsers care for: CORS, cookies, and pages of other sites.

use std::time::Duration;

use ::http::HeaderName;
use kokanee_server::{Ack, Cookie, Cors, SameSite, Server, Socket, TrustedProxy};

use crate::{
    bed::{Bed, RS, error, run, run_logged},
    secrets::Recorder,
    support::{Response, WebSocket, http, sid_of},
};

const TARGET: &str = "/socket.io/?EIO=4&transport=polling";
const UPGRADE: &str = "/socket.io/?EIO=4&transport=websocket";
const HERE: &str = "https://app.example";
const ELSEWHERE: &str = "https://evil.example";

/// The fields that matter for CORS, by their short names.
fn cors_fields(answer: &Response) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = answer
        .headers
        .iter()
        .filter_map(|(name, value)| {
            let short = name
                .strip_prefix("access-control-")
                .or_else(|| (name == "vary").then_some("vary"));
            Some((short?.to_owned(), value.clone()))
        })
        .collect();
    fields.sort();
    fields
}

fn fields(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

async fn with(cors: Cors) -> Bed {
    Bed::with(Server::builder().cors(cors)).await
}

#[test]
fn without_cors_there_are_no_fields() {
    run(async {
        let mut bed = Bed::new().await;
        let origin = [("Origin", ELSEWHERE)];
        for (name, request) in [
            ("open", http::get(TARGET, &origin)),
            ("error", http::get("/socket.io/?EIO=4&transport=x", &origin)),
            ("upgrade", http::upgrade(UPGRADE, &origin)),
        ] {
            bed.check(name, cors_fields(&bed.request(request).await), Vec::new());
        }
        let answer = bed
            .request(http::request("OPTIONS", TARGET, &origin, None))
            .await;
        bed.check("OPTIONS", answer.brief(), (400, error(2)));
        bed.check("OPTIONS", cors_fields(&answer), Vec::new());
    });
}

#[test]
fn any_origin() {
    run(async {
        let mut bed = with(Cors::any()).await;
        let all = fields(&[("allow-origin", "*")]);
        let origin = [("Origin", ELSEWHERE)];
        let polling = bed.open_polling().await;
        for (name, request, status) in [
            ("open", http::get(TARGET, &origin), 200),
            ("without origin", http::get(TARGET, &[]), 200),
            (
                "error",
                http::get("/socket.io/?EIO=4&transport=x", &origin),
                400,
            ),
            ("POST", http::post(&polling.target, &origin, b"40"), 200),
            ("GET", http::get(&polling.target, &origin), 200),
            ("upgrade", http::upgrade(UPGRADE, &origin), 101),
            (
                "refused upgrade",
                http::upgrade("/socket.io/?EIO=3&transport=websocket", &origin),
                400,
            ),
            (
                "bad method",
                http::request("PUT", &polling.target, &origin, Some(b"")),
                405,
            ),
        ] {
            let answer = bed.request(request).await;
            bed.check(
                name,
                (answer.status, cors_fields(&answer)),
                (status, all.clone()),
            );
        }
    });
}

#[test]
fn preflight_requests() {
    run(async {
        let asked = [
            ("Origin", HERE),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "x-token, content-type"),
        ];
        let preflight = http::request("OPTIONS", TARGET, &asked, None);
        let methods = ("allow-methods", "GET,HEAD,PUT,PATCH,POST,DELETE");

        let mut bed = with(Cors::any()).await;
        let answer = bed.request(&preflight).await;
        bed.check(
            "status",
            answer.status_line.as_str(),
            "HTTP/1.1 204 No Content",
        );
        bed.check("body", answer.body.len(), 0);
        let expected = fields(&[
            ("allow-headers", "x-token, content-type"),
            methods,
            ("allow-origin", "*"),
            ("vary", "Access-Control-Request-Headers"),
        ]);
        bed.check("any", cors_fields(&answer), expected);
        let answer = bed
            .request(http::request("OPTIONS", "/socket.io/", &[], None))
            .await;
        bed.check(
            "nothing asked",
            cors_fields(&answer),
            fields(&[
                methods,
                ("allow-origin", "*"),
                ("vary", "Access-Control-Request-Headers"),
            ]),
        );
        bed.check("no session was opened", bed.io.session_count(), 0);

        let cors = Cors::origins([HERE])
            .credentials(true)
            .allowed_headers(&[
                HeaderName::from_static("x-token"),
                HeaderName::from_static("x-other"),
            ])
            .exposed_headers(&[HeaderName::from_static("x-answer")])
            .max_age(Duration::from_secs(600));
        let mut bed = with(cors).await;
        let answer = bed.request(&preflight).await;
        let expected = fields(&[
            ("allow-credentials", "true"),
            ("allow-headers", "x-token,x-other"),
            methods,
            ("allow-origin", HERE),
            ("expose-headers", "x-answer"),
            ("max-age", "600"),
            ("vary", "Origin"),
        ]);
        bed.check("all settings", cors_fields(&answer), expected);
    });
}

#[test]
fn listed_origins_are_reflected() {
    run(async {
        let list = Cors::origins([HERE, "http://localhost:3000"]);
        let predicate = Cors::predicate(|origin| {
            let origin = origin.to_ascii_lowercase().replace(":443", "");
            origin == HERE || origin.starts_with("http://localhost:")
        });
        for (kind, cors) in [("list", list), ("predicate", predicate)] {
            let mut bed = with(cors).await;
            let vary = ("vary", "Origin");
            let long = format!("https://{}", "a".repeat(5000));
            for (name, origin, allowed) in [
                ("listed", HERE, true),
                ("another listed", "http://localhost:3000", true),
                ("not listed", ELSEWHERE, false),
                ("longer", "https://app.example.evil.example", false),
                ("another scheme", "http://app.example", false),
                ("another port", "https://app.example:8443", false),
                ("with a path", "https://app.example/", false),
                ("capitals", "HTTPS://APP.example", true),
                ("the scheme's port", "https://app.example:443", true),
                ("null", "null", false),
                ("star", "*", false),
                ("long", &long, false),
            ] {
                let mut expected = fields(&[vary]);
                if allowed {
                    expected = fields(&[("allow-origin", origin), vary]);
                }
                let answer = bed.request(http::get(TARGET, &[("Origin", origin)])).await;
                // Not refused: the browser keeps the answer from the page.
                bed.check(
                    format!("{kind}, {name}"),
                    (answer.status, cors_fields(&answer)),
                    (200, expected.clone()),
                );
                let answer = bed
                    .request(http::upgrade(UPGRADE, &[("Origin", origin)]))
                    .await;
                bed.check(
                    format!("{kind}, {name}, upgrade"),
                    (answer.status, cors_fields(&answer)),
                    (101, expected),
                );
            }
            let answer = bed.get(TARGET).await;
            bed.check(
                format!("{kind}, no origin"),
                cors_fields(&answer),
                fields(&[vary]),
            );
        }
    });
}

#[test]
fn credentials_never_go_with_a_star() {
    run(async {
        let mut bed = with(Cors::any().credentials(true)).await;
        let answer = bed.get(TARGET).await;
        bed.check(
            "no origin",
            cors_fields(&answer),
            fields(&[("allow-origin", "*")]),
        );
        let answer = bed
            .request(http::get(TARGET, &[("Origin", ELSEWHERE)]))
            .await;
        bed.check("other site", answer.status, 200);
        bed.check(
            "no credentials",
            cors_fields(&answer),
            fields(&[("allow-origin", "*")]),
        );
    });
}

#[test]
fn a_star_lets_all_pages_in_but_not_as_their_visitors() {
    run(async {
        for builder in [
            Server::builder()
                .cookie(Cookie::default())
                .cors(Cors::any()),
            Server::builder().cors(Cors::any().credentials(true)),
            Server::builder().cors(Cors::origins(["*"]).credentials(true)),
        ] {
            let builder = builder.allow_request(async |request: ::http::request::Parts| {
                // Neither does the application's own check see them.
                match request.headers.get("x-expect") {
                    Some(_) if !request.headers.contains_key("cookie") => Err("none".to_owned()),
                    _ => Ok(()),
                }
            });
            let mut bed = Bed::with(builder).await;
            bed.io.on("who", async |socket: Socket, ack: Ack| {
                let header = |name| socket.handshake().header(name).unwrap_or("-").to_owned();
                ack.send([header("cookie"), header("authorization"), header("x-other")])
            });
            let secrets = |origin: &'static str| {
                [
                    ("Cookie", "auth=secret"),
                    ("Authorization", "Basic c2VjcmV0"),
                    ("X-Other", "1"),
                    ("Origin", origin),
                ]
            };
            let own = "431[[\"auth=secret\",\"Basic c2VjcmV0\",\"1\"]]";
            for (origin, seen) in [
                ("http://localhost", own),
                ("HTTP://LOCALHOST:80", own),
                (ELSEWHERE, "431[[\"-\",\"-\",\"1\"]]"),
                ("null", "431[[\"-\",\"-\",\"1\"]]"),
                ("http://localhost:81", "431[[\"-\",\"-\",\"1\"]]"),
            ] {
                let headers = secrets(origin);
                let mut websocket = WebSocket::connect_with(bed.address, UPGRADE, &headers).await;
                websocket.text().await;
                websocket.join().await;
                websocket.send("421[\"who\"]").await;
                bed.check(origin, websocket.text().await, seen.to_owned());
            }
            for (origin, status) in [("http://localhost", 200), (ELSEWHERE, 403)] {
                let mut headers = secrets(origin).to_vec();
                headers.push(("X-Expect", "cookie"));
                let answer = bed.request(http::get(TARGET, &headers)).await;
                bed.check(format!("{origin}, polling"), answer.status, status);
            }
        }
    });
}

#[test]
fn a_refused_page_says_what_was_compared_with_what() {
    let recorder = Recorder::default();
    run_logged(recorder.clone(), async {
        let bed = Bed::with(Server::builder().cookie(Cookie::default())).await;
        let get = format!(
            "GET {TARGET} HTTP/1.1\r\nHost: 127.0.0.1:3000\r\nOrigin: https://app.example.com\r\n\r\n"
        );
        let answer = bed.request(get).await;
        assert_eq!(answer.status, 403);
        let expected = [
            "https://app.example.com",
            "127.0.0.1:3000 of the header Host",
            "--cors",
            "--trust-proxy",
        ];
        let text = answer.text();
        assert!(expected.iter().all(|it| text.contains(it)), "{text}");
        let answer = bed
            .request(http::upgrade(UPGRADE, &[("Origin", "https://<b>&\"x")]))
            .await;
        // It may be taken for HTML.
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (400, Some("text/html"))
        );
        let text = answer.text();
        assert!(text.contains("origin https://?b???x is"), "{text}");
    });
    let log = recorder.0.lock().unwrap().clone();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.starts_with("WARN"))
        .collect();
    assert_eq!(lines.len(), 1, "one in a while: {lines:?}");
    for part in [
        "https://app.example.com",
        "127.0.0.1:3000",
        "--cors",
        "trust_proxies",
    ] {
        assert!(lines[0].contains(part), "{part}: {lines:?}");
    }
}

/// Name, header fields, status.
type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], u16);

#[test]
fn the_own_origin_is_what_trusted_proxies_say() {
    run(async {
        let page = ("Origin", "https://app.example.com");
        let rows: &[Row<'_>] = &[
            ("nothing", &[page], 403),
            (
                "host",
                &[page, ("X-Forwarded-Host", "app.example.com")],
                200,
            ),
            (
                "host and scheme",
                &[
                    page,
                    ("X-Forwarded-Host", "App.Example.com:443"),
                    ("X-Forwarded-Proto", "https"),
                ],
                200,
            ),
            (
                "forwarded",
                &[
                    page,
                    ("Forwarded", "for=1.2.3.4;host=app.example.com;proto=https"),
                ],
                200,
            ),
            (
                "another host",
                &[page, ("X-Forwarded-Host", "other.example.com")],
                403,
            ),
            (
                "another port",
                &[page, ("X-Forwarded-Host", "app.example.com:8443")],
                403,
            ),
            (
                "a page without TLS",
                &[
                    ("Origin", "http://app.example.com"),
                    ("X-Forwarded-Host", "app.example.com"),
                    ("X-Forwarded-Proto", "https"),
                ],
                403,
            ),
        ];
        let cookie = || Server::builder().cookie(Cookie::default());
        let mut trusting = Bed::with(cookie().trust_proxies([TrustedProxy::LOOPBACK])).await;
        let far = "10.0.0.0/8".parse().unwrap();
        let mut doubting = Bed::with(cookie().trust_proxies([far])).await;
        for (name, headers, status) in rows {
            let answer = trusting.request(http::get(TARGET, headers)).await;
            trusting.check(name, answer.status, *status);
            // TLS in front of the proxy is TLS.
            let secure = headers
                .iter()
                .any(|(_, value)| value.contains("https") && !value.contains("://"));
            if *status == 200 {
                let cookie = answer.header("set-cookie").unwrap_or_default().to_owned();
                trusting.check(format!("{name}: Secure"), cookie.contains("Secure"), secure);
            }
            let answer = doubting.request(http::get(TARGET, headers)).await;
            doubting.check(format!("{name}, not trusted"), answer.status, 403);
        }
    });
}

#[test]
fn the_host_in_the_url_goes_before_the_header() {
    run(async {
        let mut bed = Bed::with(Server::builder().cookie(Cookie::default())).await;
        for (origin, status) in [("http://a.example", 200), ("http://localhost", 403)] {
            let target = format!("http://a.example{TARGET}");
            let answer = bed.request(http::get(&target, &[("Origin", origin)])).await;
            bed.check(origin, answer.status, status);
        }
    });
}

#[test]
fn pages_without_a_site_are_allowed_by_name_only() {
    run(async {
        for (origin, listed) in [
            ("capacitor://localhost", true),
            ("ionic://localhost", true),
            ("file://", true),
            ("null", false),
        ] {
            let cookie = || Server::builder().cookie(Cookie::default());
            let mut bed = Bed::with(cookie()).await;
            let status = bed
                .request(http::get(TARGET, &[("Origin", origin)]))
                .await
                .status;
            bed.check(origin, status, 403);
            let mut bed = Bed::with(cookie().cors(Cors::origins([origin]))).await;
            let status = bed
                .request(http::get(TARGET, &[("Origin", origin)]))
                .await
                .status;
            // Any page can be `null`.
            bed.check(
                format!("{origin}, listed"),
                status,
                if listed { 200 } else { 403 },
            );
            let mut bed = with(Cors::origins([origin])).await;
            let answer = bed.request(http::get(TARGET, &[("Origin", origin)])).await;
            let allowed = answer
                .header("access-control-allow-origin")
                .map(str::to_owned);
            bed.check(
                format!("{origin}, no credentials"),
                allowed.as_deref(),
                Some(origin),
            );
        }
    });
}

#[test]
fn cookies_come_with_the_handshake_alone() {
    run(async {
        let mut bed = Bed::with(Server::builder().cookie(Cookie::default())).await;
        let answer = bed.get(TARGET).await;
        let sid = sid_of(&answer.text());
        let cookie = format!("io={sid}; Path=/; HttpOnly; SameSite=Lax");
        bed.check("open", answer.all("set-cookie"), vec![cookie.as_str()]);
        let target = format!("{TARGET}&sid={sid}");
        bed.check(
            "POST",
            bed.post(&target, "40").await.all("set-cookie"),
            Vec::new(),
        );
        bed.check("GET", bed.get(&target).await.all("set-cookie"), Vec::new());
        bed.check(
            "error",
            bed.get("/socket.io/?EIO=4&transport=x")
                .await
                .all("set-cookie"),
            Vec::new(),
        );
        let upgrade = bed
            .request(http::upgrade(&format!("{UPGRADE}&sid={sid}"), &[]))
            .await;
        bed.check(
            "upgrade",
            (upgrade.status, upgrade.all("set-cookie")),
            (101, Vec::new()),
        );
        let (websocket, sid) = bed.open_websocket().await;
        let cookie = format!("io={sid}; Path=/; HttpOnly; SameSite=Lax");
        bed.check(
            "websocket",
            websocket.response.all("set-cookie"),
            vec![cookie.as_str()],
        );

        let cookie = Cookie::new("sess")
            .and_then(|cookie| cookie.path(None))
            .unwrap();
        let cookie = cookie
            .http_only(false)
            .same_site(SameSite::Strict)
            .max_age(Duration::from_secs(86400));
        let mut bed = Bed::with(Server::builder().cookie(cookie)).await;
        let answer = bed.get(TARGET).await;
        let sid = sid_of(&answer.text());
        let expected = format!("sess={sid}; Max-Age=86400; SameSite=Strict");
        bed.check(
            "settings",
            answer.all("set-cookie"),
            vec![expected.as_str()],
        );
    });
}

#[test]
fn pages_of_other_sites_are_refused_where_credentials_are_used() {
    run(async {
        let cookie = || Server::builder().cookie(Cookie::default());
        let settings = [
            ("cookie", cookie(), false),
            (
                "cookie and list",
                cookie().cors(Cors::origins([HERE])),
                true,
            ),
            (
                "cookie and predicate",
                cookie().cors(Cors::predicate(|origin| origin == HERE)),
                true,
            ),
            (
                "credentials and path",
                Server::builder().cors(Cors::origins([format!("{HERE}/")]).credentials(true)),
                true,
            ),
            (
                "credentials and list",
                Server::builder().cors(Cors::origins([HERE]).credentials(true)),
                true,
            ),
        ];
        for (setting, builder, listed) in settings {
            let mut bed = Bed::with(builder).await;
            let rows = [
                ("no origin", None, true),
                ("same origin", Some("http://localhost"), true),
                ("same origin, https", Some("https://localhost"), true),
                ("same origin, port", Some("http://localhost:80"), true),
                (
                    "same origin, https and port",
                    Some("https://localhost:443"),
                    true,
                ),
                ("same origin, capitals", Some("HTTP://LocalHost"), true),
                (
                    "own name, another scheme",
                    Some("capacitor://localhost"),
                    false,
                ),
                ("listed", Some(HERE), listed),
                ("other site", Some(ELSEWHERE), false),
                ("another port", Some("http://localhost:81"), false),
                ("null", Some("null"), false),
                ("longer host", Some("http://localhost.evil.example"), false),
                ("no scheme", Some("localhost"), false),
                ("latin bytes", Some("http://\u{e9}"), false),
            ];
            for (name, origin, allowed) in rows {
                let headers: Vec<(&str, &str)> = origin
                    .map(|origin| ("Origin", origin))
                    .into_iter()
                    .collect();
                let answer = bed.request(http::get(TARGET, &headers)).await;
                let expected = if allowed { 200 } else { 403 };
                bed.check(format!("{setting}: {name}"), answer.status, expected);
                if !allowed {
                    let text = answer.text();
                    let is_forbidden = text.starts_with("{\"code\":4,\"message\":\"Forbidden: ");
                    bed.check(format!("{setting}: {name}, {text}"), is_forbidden, true);
                }
                let answer = bed.request(http::upgrade(UPGRADE, &headers)).await;
                let expected = if allowed { 101 } else { 400 };
                bed.check(
                    format!("{setting}: {name}, upgrade"),
                    answer.status,
                    expected,
                );
                if !allowed {
                    bed.check(
                        format!("{setting}: {name}, upgrade"),
                        answer.text().starts_with("Forbidden: "),
                        true,
                    );
                }
            }
        }
    });
}

#[test]
fn pages_of_other_sites_may_connect_where_no_credentials_are_used() {
    run(async {
        let mut bed = Bed::new().await;
        for origin in [HERE, ELSEWHERE, "null"] {
            let headers = [("Origin", origin)];
            bed.check(
                origin,
                bed.request(http::get(TARGET, &headers)).await.status,
                200,
            );
            bed.check(
                origin,
                bed.request(http::upgrade(UPGRADE, &headers)).await.status,
                101,
            );
        }
        let mut polling = bed.open_polling().await;
        polling.send(&format!("40{RS}421[\"echo\"]")).await;
        bed.check("it works", polling.poll().await.starts_with("40{"), true);
    });
}
