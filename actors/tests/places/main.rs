//! `PlacesActor` as a session knows it, with a stand-in for each provider.

#[allow(dead_code, reason = "the tests of the whole program use the rest")]
mod stand_in;

use actix::{Actor, Recipient};
use herd_actors::messages::{Near, Stop};
use herd_actors::panics::Panicked;
use herd_actors::places::{PlacesActor, Settings};
use herd_core::places::cache::CacheLimits;
use herd_core::places::{Key, Limits, Query};
use serde_json::{Value, json};
use stand_in::{AUTHORITY, Answer, StandIn, head, http, http_with};
use std::sync::Mutex;
use std::time::Duration;

const KEY: &str = "AIza-very-s3cret";

const LA: Query = Query { latitude: 34.06893, longitude: -118.445_127, radius_m: 10_000.0, bound: 2 };

const GOOGLE: &str = r#"{"places": [
  {"id": "ChIJO5YQvoO8woARqW4uTaeGxJc", "types": ["university", "point_of_interest"], "formattedAddress": "Los Angeles, CA, USA",
   "location": {"latitude": 34.0699182, "longitude": -118.4438495}, "displayName": {"text": "UCLA", "languageCode": "en"},
   "primaryType": "university"},
  {"id": "b", "location": {"latitude": 34.1, "longitude": -118.4}, "displayName": {"text": "B"}},
  {"id": "c", "location": {"latitude": 34.2, "longitude": -118.4}, "displayName": {"text": "C"}}
]}"#;

const LEGACY: &str = "{\n   \"html_attributions\" : [],\n   \"results\" : [\n      { \"name\" : \"A\" },\n      { \"name\" : \"B\" },\n      { \"name\" : \"C\" }\n   ],\n\n\n   \"status\" : \"OK\"\n}\n";

const OVERPASS: &str = r#"{"version": 0.6, "elements": [
  {"type": "node", "id": 1, "lat": 34.1, "lon": -118.445, "tags": {"name": "Far", "place": "suburb"}},
  {"type": "way", "id": 2, "center": {"lat": 34.069, "lon": -118.445}, "tags": {"name": "Near", "amenity": "cafe"}}
]}"#;

/// Settings under which nobody but the stand-in is asked, whatever is asked for.
fn settings(chain: &str, url: &str) -> Settings {
    Settings {
        chain: Some(chain.parse().unwrap()),
        key: Some(Key::new(KEY).unwrap()),
        google_url: url.to_owned(),
        google_legacy_url: url.to_owned(),
        overpass_url: Some(format!("{url}/api/interpreter")),
        limits: Limits { deadline: Duration::from_secs(20), ..Limits::default() },
        ..Settings::default()
    }
}

fn start(settings: Settings) -> Recipient<Near> {
    PlacesActor::new(settings).start().recipient()
}

async fn ask(places: &Recipient<Near>, query: Query) -> Value {
    let mut answers = places.send(Near { queries: vec![query] }).await.unwrap().unwrap();
    let answer = answers.pop().unwrap();
    assert!(!answer.windows(2).any(|pair| pair == b"\n\n") && answer.last() != Some(&b'\n'));
    let text = String::from_utf8(answer).unwrap();
    assert!(!text.contains(KEY), "{text}");
    serde_json::from_str(&text).unwrap()
}

async fn ask_once(chain: &str, answer: Answer) -> (Value, Vec<String>) {
    let stand_in = StandIn::start([answer]);
    let answer = ask(&start(settings(chain, &stand_in.url())), LA).await;
    (answer, stand_in.requests())
}

fn names(answer: &Value) -> Vec<&str> {
    answer["results"].as_array().unwrap().iter().map(|place| place["name"].as_str().unwrap()).collect()
}

/// Waits until the stand-in was asked this often.
async fn asked(stand_in: &StandIn, times: usize) {
    let waiting = async {
        while stand_in.requests().len() < times {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap();
}

#[actix::test]
async fn google_is_asked_with_its_key_in_a_header_and_answers_in_the_legacy_form() {
    let (answer, requests) = ask_once("google", http(200, GOOGLE)).await;
    assert_eq!(names(&answer), ["UCLA", "B"]);
    assert_eq!(answer["results"][0]["types"], json!(["university", "point_of_interest"]));
    assert_eq!((&answer["status"], &answer["source"]), (&"OK".into(), &"google".into()));
    let request = requests[0].to_ascii_lowercase();
    assert!(request.starts_with("post /v1/places:searchnearby http/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("x-goog-api-key: {}\r\n", KEY.to_ascii_lowercase())));
    assert!(request.contains("x-goog-fieldmask: places.id,") && request.contains("\"maxresultcount\":2"));
}

#[actix::test]
async fn the_legacy_search_is_passed_on_with_its_list_cut() {
    let (answer, requests) = ask_once("google-legacy", http(200, LEGACY)).await;
    assert_eq!(names(&answer), ["A", "B"]);
    assert_eq!(answer["html_attributions"], json!(["Google Maps"]));
    let wanted = "GET /maps/api/place/nearbysearch/json?location=34.06893,-118.445127&radius=10000&key=";
    assert!(requests[0].starts_with(wanted), "{}", requests[0]);
}

#[actix::test]
async fn overpass_is_asked_under_our_own_name_and_ordered_by_distance() {
    let (answer, requests) = ask_once("overpass", http(200, OVERPASS)).await;
    assert_eq!(names(&answer), ["Near", "Far"]);
    assert!(requests[0].starts_with("POST /api/interpreter ") && requests[0].contains("user-agent: herd/"));
    assert!(answer["html_attributions"][0].as_str().unwrap().contains("OpenStreetMap"));
}

#[actix::test]
async fn nothing_near_is_an_answer_and_nobody_else_is_asked() {
    let cases = [
        ("google", "{}"),
        ("google-legacy", r#"{"html_attributions":[],"results":[],"status":"ZERO_RESULTS"}"#),
        ("overpass", r#"{"elements":[]}"#),
    ];
    for (provider, body) in cases {
        let (answer, _) = ask_once(&format!("{provider},offline"), http(200, body)).await;
        assert_eq!((&answer["status"], &answer["source"]), (&"ZERO_RESULTS".into(), &provider.into()));
    }
}

#[actix::test]
async fn each_status_of_the_legacy_search_is_told_if_nobody_else_can_answer() {
    for status in ["INVALID_REQUEST", "OVER_QUERY_LIMIT", "REQUEST_DENIED", "UNKNOWN_ERROR"] {
        let body =
            json!({"error_message": format!("bad {KEY}"), "results": [], "status": status}).to_string();
        let (answer, _) = ask_once("google-legacy", http(200, &body)).await;
        assert_eq!((&answer["status"], names(&answer).len()), (&status.into(), 0));
        assert_eq!(answer["error_message"], format!("google-legacy: {status} bad …"));
    }
}

#[actix::test]
async fn each_status_of_http_becomes_a_status_of_the_answer() {
    let cases = [
        (400, "INVALID_REQUEST"),
        (401, "REQUEST_DENIED"),
        (403, "REQUEST_DENIED"),
        (404, "INVALID_REQUEST"),
        (429, "OVER_QUERY_LIMIT"),
        (500, "UNKNOWN_ERROR"),
        (503, "UNKNOWN_ERROR"),
    ];
    for provider in ["google", "google-legacy", "overpass"] {
        for (code, status) in cases {
            let (answer, _) = ask_once(provider, http(code, "<html>no</html>")).await;
            assert_eq!(answer["status"], status, "{provider} {code}");
        }
    }
    let (answer, _) = ask_once("overpass", http(504, "")).await;
    assert_eq!(answer["status"], "OVER_QUERY_LIMIT");
}

#[actix::test]
async fn googles_own_words_about_an_error_are_passed_on() {
    let body = r#"{"error": {"code": 403, "message": "Places API (New) has not been used", "status": "PERMISSION_DENIED"}}"#;
    let (answer, _) = ask_once("google", http(403, body)).await;
    let said = "google: http status 403: PERMISSION_DENIED Places API (New) has not been used";
    assert_eq!((&answer["status"], &answer["error_message"]), (&"REQUEST_DENIED".into(), &said.into()));
}

#[actix::test]
async fn an_answer_that_is_no_json_is_a_failure_and_no_panic() {
    for provider in ["google", "google-legacy", "overpass"] {
        for body in ["", "{\"places\":[", "[]", "[[],null]", "null", "\u{0}", "<!doctype html>"] {
            let (answer, _) = ask_once(provider, http(200, body)).await;
            assert_eq!(answer["status"], "UNKNOWN_ERROR", "{provider} {body:?}");
        }
    }
}

#[actix::test]
async fn a_reply_that_is_no_http_or_breaks_off_is_a_failure() {
    let cut = [head(200, "", 1000), b"{\"places\"".to_vec()].concat();
    for bytes in [b"SSH-2.0-x\r\n".to_vec(), Vec::new(), cut] {
        let (answer, _) = ask_once("google", Answer::Say(bytes)).await;
        assert_eq!(answer["status"], "UNKNOWN_ERROR");
    }
}

#[actix::test]
async fn a_reply_in_chunks_or_of_old_http_is_read_and_one_that_cannot_be_says_why() {
    let chunks = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{GOOGLE}\r\n0\r\n\r\n",
        GOOGLE.len()
    );
    for reply in [chunks, format!("HTTP/1.0 200 OK\r\n\r\n{GOOGLE}")] {
        assert_eq!(ask_once("google", Answer::Say(reply.into())).await.0["status"], "OK");
    }
    let unmeasured = Answer::Say(format!("HTTP/1.1 200 OK\r\n\r\n{GOOGLE}").into());
    let packed = http_with(200, "Content-Encoding: gzip\r\n", "\u{1f}");
    for (reply, why) in [(unmeasured, "neither Content-Length"), (packed, "\"gzip\"")] {
        let (answer, _) = ask_once("google", reply).await;
        assert!(answer["error_message"].as_str().is_some_and(|said| said.contains(why)), "{answer}");
    }
}

#[actix::test]
async fn a_question_that_meets_a_provider_hanging_up_is_asked_once_more() {
    // A provider that closes what it kept open does so at times while a request is on its way to it.
    let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{GOOGLE}", GOOGLE.len());
    let silence = Answer::Say(Vec::new());
    let stand_in = StandIn::start([
        Answer::SayAndHangUp(reply.clone().into()),
        Answer::SayAndHangUp(reply.into()),
        silence,
    ]);
    let places = start(settings("google", &stand_in.url()));
    assert_eq!(ask(&places, LA).await["status"], "OK");
    assert_eq!(ask(&places, LA).await["status"], "OK");
    // The second connection hangs up too, and what is new says nothing: that is not tried for ever.
    assert_eq!(ask(&places, LA).await["status"], "UNKNOWN_ERROR");
    assert_eq!(stand_in.requests().len(), 3);
}

/// The second attempt went to another connection that was kept open, and met the same there.
#[actix::test]
async fn a_question_that_is_asked_once_more_goes_to_no_connection_that_was_kept_open() {
    let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{GOOGLE}", GOOGLE.len());
    let kept_open = Answer::SayAndHangUp(reply.into());
    let stand_in = StandIn::start([kept_open.clone(), kept_open, http(200, GOOGLE)]);
    let places = start(settings("google", &stand_in.url()));
    let elsewhere = Query { latitude: 35.0, ..LA };
    let (first, second) = tokio::join!(ask(&places, LA), ask(&places, elsewhere));
    assert_eq!((&first["status"], &second["status"]), (&"OK".into(), &"OK".into()));
    assert_eq!(stand_in.requests().len(), 2);
    assert_eq!(ask(&places, LA).await["status"], "OK");
}

/// Each later question was answered with what the one before it had asked.
#[actix::test]
async fn an_answer_behind_an_interim_one_is_not_taken_for_the_answer_to_another_question() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    let whole = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let other = GOOGLE.replace("UCLA", "Somebody else's");
    let stand_in = StandIn::start([
        Answer::SayLate(hints.into(), whole(&other).into()),
        Answer::SayAndHangUp(whole(GOOGLE).into()),
    ]);
    let places = start(settings("google", &stand_in.url()));
    assert_eq!(ask(&places, LA).await["error_message"], "google: http status 103");
    let answer = ask(&places, LA).await;
    assert_eq!(answer["status"], "OK");
    assert!(!answer.to_string().contains("Somebody else's"), "{answer}");
    assert_eq!(stand_in.requests().len(), 2);
}

#[actix::test]
async fn what_is_shorter_than_it_said_or_longer_than_a_client_is_given_is_a_failure() {
    for (reply, why) in [
        ([head(200, "", 9999), b"{}".to_vec()].concat(), "broke off"),
        ([head(200, "", 2 + GOOGLE.len()), GOOGLE.into()].concat(), "broke off"),
    ] {
        let (answer, _) = ask_once("google", Answer::Say(reply)).await;
        assert!(answer["error_message"].as_str().is_some_and(|said| said.contains(why)), "{answer}");
    }
    let long = GOOGLE.replace("UCLA", &"x".repeat(300_000));
    let (answer, _) = ask_once("google", http(200, &long)).await;
    assert_eq!(answer["error_message"], "google: what it lists is over 262144 bytes long");
    let (answer, _) =
        ask_once("google", http(200, &format!("{{\"places\":\"{}\"}}", "x".repeat(100_000)))).await;
    assert!(answer["error_message"].as_str().is_some_and(|said| said.len() < 400), "{answer}");
}

#[actix::test]
async fn a_refusal_is_one_though_its_words_do_not_come() {
    is_left_alone_for_an_hour(Answer::SayAndHang(head(429, "Retry-After: 5000000000\r\n", 1000))).await;
}

#[actix::test]
async fn a_provider_that_says_until_when_it_is_away_is_left_alone_until_then() {
    for until in ["7200", "99999999999999999999", "Fri, 31 Dec 2100 23:59:59 GMT"] {
        is_left_alone_for_an_hour(http_with(503, &format!("Retry-After: {until}\r\n"), "")).await;
    }
}

/// Asks twice a provider that wants to be left alone for an hour, which is the most, and longer.
async fn is_left_alone_for_an_hour(answer: Answer) {
    let stand_in = StandIn::start([answer]);
    let places = start(settings("google", &stand_in.url()));
    assert_ne!(ask(&places, LA).await["status"], "OK");
    let said = ask(&places, LA).await["error_message"].to_string();
    assert!(said.contains("left alone for 3600 s") || said.contains("left alone for 3599 s"), "{said}");
    assert_eq!(stand_in.requests().len(), 1);
}

/// The words were cut first, and the key was looked for as a whole afterwards.
#[actix::test]
async fn a_key_that_is_repeated_anywhere_is_told_to_nobody() {
    let message = format!("{} {KEY}", "x".repeat(300 - "PERMISSION_DENIED ".len() - KEY.len() / 2));
    let refusal =
        serde_json::json!({"error": {"status": "PERMISSION_DENIED", "message": message}}).to_string();
    let (answer, _) = ask_once("google", http(403, &refusal)).await;
    assert!(!answer.to_string().contains(&KEY[..4]), "{answer}");
    let (answer, _) = ask_once("google", http(200, &GOOGLE.replace("UCLA", KEY))).await;
    assert_eq!(answer["status"], "OK");
    assert!(!answer.to_string().contains(KEY), "{answer}");
}

#[actix::test]
async fn a_request_that_is_sent_again_counts_twice() {
    let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{GOOGLE}", GOOGLE.len());
    let stand_in = StandIn::start([Answer::SayAndHangUp(reply.into())]);
    let limits = Limits { per_day: 3, ..Limits::default() };
    let places = start(Settings { limits, ..settings("google", &stand_in.url()) });
    for wanted in ["OK", "OK", "OVER_QUERY_LIMIT"] {
        assert_eq!(ask(&places, LA).await["status"], wanted);
    }
}

#[actix::test]
async fn whoever_fails_the_next_one_in_the_chain_answers() {
    let (answer, requests) = ask_once("google,offline", http(500, "")).await;
    assert_eq!((&answer["source"], &answer["status"]), (&"offline".into(), &"OK".into()));
    assert_eq!(names(&answer), ["Westwood, Los Angeles", "Century City"]);
    assert_eq!(requests.len(), 1);
}

#[actix::test]
async fn a_body_without_end_is_given_up_at_the_limit() {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n".to_vec();
    for head in [head(200, "", 1 << 40), chunked, b"HTTP/1.0 200 OK\r\n\r\n".to_vec()] {
        let stand_in = StandIn::start([Answer::SayWithoutEnd(head)]);
        let limits = Limits { body_max: 50_000, ..Limits::default() };
        let places = start(Settings { limits, ..settings("google", &stand_in.url()) });
        let answer = ask(&places, LA).await;
        let said = "google: the answer is over 50000 bytes long";
        assert_eq!((&answer["status"], &answer["error_message"]), (&"UNKNOWN_ERROR".into(), &said.into()));
    }
}

/// The client of a server that was told to stop while a provider hung had an AT line and no JSON, if anything.
#[actix::test]
async fn a_server_that_stops_waits_for_no_provider_and_asks_the_next() {
    let stand_in = StandIn::start([Answer::SayAndHang(Vec::new())]);
    let places = PlacesActor::new(settings("overpass,offline", &stand_in.url())).start();
    let mailbox = places.clone().recipient();
    let asking = actix_rt::spawn(async move { ask(&mailbox, LA).await });
    asked(&stand_in, 1).await;
    places.do_send(Stop);
    let answer = tokio::time::timeout(Duration::from_secs(10), asking).await.unwrap().unwrap();
    assert_eq!((&answer["status"], &answer["source"]), (&"OK".into(), &"offline".into()));
    let asked_late = ask(&places.recipient(), Query { latitude: 34.0, ..LA }).await;
    assert_eq!((&asked_late["source"], stand_in.requests().len()), (&"offline".into(), 1));
}

/// Asks a stand-in that hangs, and lets the time pass at once as soon as it does.
async fn ask_the_hanging(answer: Answer) -> Value {
    let stand_in = StandIn::start([answer]);
    let places = start(settings("google", &stand_in.url()));
    let (answer, ()) = tokio::join!(ask(&places, LA), async {
        asked(&stand_in, 1).await;
        tokio::time::pause();
    });
    tokio::time::resume();
    answer
}

#[actix::test]
async fn one_deadline_covers_the_head_and_the_body() {
    let in_body = [head(200, "", 1000), b"{".to_vec()].concat();
    for said in [Vec::new(), b"HTTP/1.1 200 O".to_vec(), in_body] {
        let answer = ask_the_hanging(Answer::SayAndHang(said)).await;
        let said = "google: no whole answer within 20000 ms";
        assert_eq!((&answer["status"], &answer["error_message"]), (&"UNKNOWN_ERROR".into(), &said.into()));
    }
}

#[actix::test]
async fn nobody_there_is_a_failure() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let answer = ask(&start(settings("google", &format!("http://{port}"))), LA).await;
    assert_eq!(answer["status"], "UNKNOWN_ERROR");
    assert!(answer["error_message"].as_str().unwrap().contains("cannot be connected to"), "{answer}");
}

#[actix::test]
async fn a_redirect_takes_the_key_nowhere() {
    let elsewhere = StandIn::start([http(200, GOOGLE)]);
    for code in [301, 302, 307, 308] {
        for provider in ["google", "google-legacy"] {
            let to = format!("Location: {}/elsewhere\r\n", elsewhere.url());
            let (answer, _) = ask_once(provider, http_with(code, &to, "")).await;
            assert_eq!(answer["status"], "UNKNOWN_ERROR");
        }
    }
    assert!(elsewhere.requests().is_empty());
}

#[actix::test]
async fn a_certificate_counts_only_if_a_believed_authority_signed_it_for_that_name() {
    let stand_in = StandIn::start_tls([http(200, GOOGLE)]);
    let believing = vec![AUTHORITY.to_vec().into()];
    let places = |name: &str, authorities| {
        start(Settings { authorities, ..settings("google", &stand_in.tls_url(name)) })
    };
    assert_eq!(ask(&places("localhost", believing.clone()), LA).await["status"], "OK");
    for places in [places("localhost", vec![]), places("127.0.0.1", believing)] {
        let answer = ask(&places, LA).await;
        assert_eq!(answer["status"], "UNKNOWN_ERROR", "{answer}");
        assert!(answer["error_message"].as_str().unwrap().contains("invalid peer certificate"), "{answer}");
    }
    assert_eq!(stand_in.requests().len(), 1);
}

#[actix::test]
async fn a_key_is_not_sent_where_there_is_none() {
    let stand_in = StandIn::start([http(200, GOOGLE)]);
    for chain in ["google", "google-legacy"] {
        let places = start(Settings { key: None, ..settings(chain, &stand_in.url()) });
        let answer = ask(&places, LA).await;
        assert_eq!(answer["status"], "REQUEST_DENIED");
        assert!(answer["error_message"].as_str().unwrap().contains("GOOGLE_PLACES_API_KEY"));
    }
    assert!(stand_in.requests().is_empty());
}

#[actix::test]
async fn places_that_are_turned_off_say_so() {
    let answer = ask(&start(settings("none", "")), LA).await;
    assert_eq!((&answer["status"], &answer["source"]), (&"REQUEST_DENIED".into(), &"none".into()));
}

#[actix::test]
async fn a_bound_of_nothing_asks_nobody() {
    let stand_in = StandIn::start([http(200, GOOGLE)]);
    let answer = ask(&start(settings("google", &stand_in.url())), Query { bound: 0, ..LA }).await;
    assert_eq!((names(&answer).len(), &answer["status"]), (0, &"ZERO_RESULTS".into()));
    assert!(stand_in.requests().is_empty());
}

#[actix::test]
async fn equal_questions_at_once_share_one_request_and_nothing_of_googles_is_kept() {
    let stand_in = StandIn::start([http(200, GOOGLE)]);
    let places = start(settings("google", &stand_in.url()));
    let (a, b, other) =
        tokio::join!(ask(&places, LA), ask(&places, LA), ask(&places, Query { bound: 1, ..LA }));
    assert_eq!((&a, names(&other).len()), (&b, 1));
    assert_eq!(stand_in.requests().len(), 2);
    ask(&places, LA).await;
    assert_eq!(stand_in.requests().len(), 3);
}

#[actix::test]
async fn what_overpass_says_is_kept_for_its_time() {
    let stand_in = StandIn::start([http(200, OVERPASS)]);
    let cache = "10m,10".parse().unwrap();
    let places = start(Settings { cache, ..settings("overpass", &stand_in.url()) });
    assert_eq!(ask(&places, LA).await, ask(&places, LA).await);
    assert_eq!(stand_in.requests().len(), 1);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(600)).await;
    tokio::time::resume();
    ask(&places, LA).await;
    assert_eq!(stand_in.requests().len(), 2);
}

#[actix::test]
async fn a_provider_that_refuses_is_left_alone_and_then_tried_again() {
    for refusal in [http(403, ""), http(429, ""), http_with(429, "Retry-After: 29\r\n", "")] {
        let stand_in = StandIn::start([refusal, http(200, GOOGLE)]);
        let places = start(settings("google", &stand_in.url()));
        for _ in 0..3 {
            assert_ne!(ask(&places, LA).await["status"], "OK");
        }
        assert_eq!(stand_in.requests().len(), 1);
        tokio::time::pause();
        tokio::time::advance(Limits::default().rest_first).await;
        tokio::time::resume();
        assert_eq!(ask(&places, LA).await["status"], "OK");
    }
}

#[actix::test]
async fn the_budget_of_a_day_is_kept() {
    let stand_in = StandIn::start([http(200, GOOGLE)]);
    let limits = Limits { per_day: 2, ..Limits::default() };
    let places = start(Settings { limits, ..settings("google", &stand_in.url()) });
    for wanted in ["OK", "OK", "OVER_QUERY_LIMIT", "OVER_QUERY_LIMIT"] {
        assert_eq!(ask(&places, LA).await["status"], wanted);
    }
    assert_eq!(stand_in.requests().len(), 2);
}

#[actix::test]
async fn more_requests_than_lanes_and_queue_go_to_the_next_provider() {
    let stand_in = StandIn::start([Answer::SayAndHang(Vec::new())]);
    let limits =
        Limits { in_flight_max: 1, queue_max: 1, deadline: Duration::from_secs(20), ..Limits::default() };
    let places = start(Settings { limits, ..settings("google,offline", &stand_in.url()) });
    let near = |bound| Query { bound, ..LA };
    let (first, second, third, ()) = tokio::join!(
        ask(&places, near(1)),
        async {
            asked(&stand_in, 1).await;
            ask(&places, near(2)).await
        },
        async {
            asked(&stand_in, 1).await;
            tokio::task::yield_now().await;
            ask(&places, near(3)).await
        },
        async {
            asked(&stand_in, 1).await;
            // The index is loaded on a thread of its own; time may pass by itself only after that.
            ask(&places, near(4)).await;
            tokio::time::pause();
        },
    );
    tokio::time::resume();
    for answer in [first, second, third] {
        assert_eq!(answer["source"], "offline");
    }
    assert_eq!(stand_in.requests().len(), 1);
}

#[actix::test]
async fn what_needs_no_waiting_is_answered_together_and_what_does_alone() {
    let places = start(settings("offline", "http://127.0.0.1:9"));
    let answered = async |count| {
        let queries = vec![Query { radius_m: 50_000.0, bound: 20, ..LA }; count];
        places.send(Near { queries }).await.unwrap().unwrap()
    };
    assert_eq!(answered(3).await.len(), 1, "the index is not loaded yet");
    assert_eq!(answered(3).await.len(), 3);
    let bytes: usize = answered(1000).await.iter().map(Vec::len).sum();
    assert!((64 * 1024..72 * 1024).contains(&bytes), "{bytes}");
}

#[actix::test]
async fn the_first_question_waits_for_the_index_and_the_next_does_not() {
    let places = start(settings("offline", ""));
    let (a, b) = tokio::join!(ask(&places, LA), ask(&places, Query { radius_m: 50_000.0, bound: 20, ..LA }));
    assert_eq!((names(&a).len(), names(&b).len()), (2, 20));
    assert!(a["html_attributions"][0].as_str().unwrap().contains("GeoNames"));
    let sea = Query { latitude: 30.0, longitude: -40.0, ..LA };
    assert_eq!(ask(&places, sea).await["status"], "ZERO_RESULTS");
}

#[actix::test]
async fn an_index_of_ones_own_is_searched_beside_or_instead_of_the_embedded_one() {
    use herd_core::places::gazetteer::{Gazetteer, Place};
    use herd_core::places::spot::Spot;
    let mut list = Gazetteer::default();
    let spot = Spot::new(LA.latitude, LA.longitude).unwrap();
    list.add(&Place { spot, name: "Mine", area: "", kinds: &["lodging"], id: "7" }).unwrap();
    let path = std::env::temp_dir().join(format!("herd-places-{}.index", std::process::id()));
    std::fs::write(&path, herd_core::places::file::encode(&list)).unwrap();
    let with = |files, embedded| start(Settings { files, embedded, ..settings("offline", "") });
    let beside = ask(&with(vec![path.clone()], true), LA).await;
    let instead = ask(&with(vec![path.clone()], false), LA).await;
    std::fs::remove_file(&path).unwrap();
    let missing = ask(&with(vec![path], false), LA).await;
    assert_eq!(names(&beside), ["Mine", "Westwood, Los Angeles"]);
    assert_eq!(names(&instead), ["Mine"]);
    assert_eq!(missing["status"], "UNKNOWN_ERROR");
}

/// Keeps everything that is logged, at every level, by every crate.
struct Diary(Mutex<String>);

static DIARY: Diary = Diary(Mutex::new(String::new()));

impl log::Log for Diary {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {} {}\n", record.level(), record.target(), record.args());
        self.0.lock().unwrap().push_str(&line);
    }

    fn flush(&self) {}
}

#[actix::test]
async fn the_key_is_in_no_log_and_no_debug_output() {
    // Another test may have come first; the diary is the same.
    let _ = log::set_logger(&DIARY);
    log::set_max_level(log::LevelFilter::Trace);
    let body = json!({"error": {"code": 403, "message": format!("{KEY} is blocked"), "status": "PERMISSION_DENIED"}});
    for provider in ["google", "google-legacy"] {
        ask_once(provider, http(403, &body.to_string())).await;
    }
    ask(&start(settings("google,google-legacy", "not an address")), LA).await;
    let stand_in = StandIn::start_tls([http(200, GOOGLE)]);
    let authorities = vec![AUTHORITY.to_vec().into()];
    ask(&start(Settings { authorities, ..settings("google-legacy", &stand_in.tls_url("localhost")) }), LA)
        .await;
    let diary = DIARY.0.lock().unwrap().clone();
    assert!(diary.contains("provider=google rests"), "{diary}");
    assert!(!diary.contains(KEY) && !format!("{:?}", settings("google", "")).contains(KEY));
}

/// That answers are kept for longer than there is time, which no setting can say, stands for any mistake of ours.
#[actix::test]
async fn a_question_that_panics_ends_alone() {
    let stand_in = StandIn::start([http(200, OVERPASS)]);
    let cache = CacheLimits { time: Duration::MAX, number: 10 };
    let places = start(Settings { cache, ..settings("overpass", &stand_in.url()) });
    assert_eq!(places.send(Near { queries: vec![LA] }).await.unwrap(), Err(Panicked));
    assert_eq!(ask(&places, Query { bound: 0, ..LA }).await["status"], "ZERO_RESULTS");
}
