//! What browsers care for: CORS, cookies, and pages of other sites.

use std::time::Duration;

use ::http::HeaderName;
use kokanee_server::{Cookie, Cors, SameSite, Server};

use crate::{
    bed::{Bed, RS, error, run},
    support::{Response, http, sid_of},
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
        let predicate =
            Cors::predicate(|origin| origin == HERE || origin.starts_with("http://localhost:"));
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
                ("capitals", "https://APP.example", false),
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
        bed.check("other site", answer.brief(), (403, error(4)));
        bed.check(
            "no credentials",
            answer.header("access-control-allow-credentials"),
            None,
        );
        let mut bed = with(Cors::origins(["*"]).credentials(true)).await;
        let answer = bed
            .request(http::get(TARGET, &[("Origin", ELSEWHERE)]))
            .await;
        bed.check("star in a list", answer.brief(), (403, error(4)));
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
            ("cookie and any", cookie().cors(Cors::any()), false),
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
                    bed.check(format!("{setting}: {name}"), answer.text(), error(4));
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
                        answer.text(),
                        "Forbidden".to_owned(),
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
