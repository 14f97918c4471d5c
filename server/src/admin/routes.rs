//! What is answered to a request.
//!
//! GET and HEAD of a few paths. Nothing here changes anything, so a body means nothing and is not
//! read. There is no login; what protects a listener on loopback from a web page in a browser on the
//! same machine is that no header allows the page to read an answer, and that a name which resolves
//! to this machine for a moment (DNS rebinding) is not accepted as the name of the host.

use super::metrics::Format;
use super::probes::{self, Verdict};
use super::{Site, api};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use std::net::IpAddr;

const TEXT: &str = "text/plain; charset=utf-8";

/// What a path answers.
struct Answer {
    policy: Option<HeaderValue>,
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
}

impl Answer {
    fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Answer { policy: None, status, content_type, body: body.into() }
    }

    /// A line of text.
    fn line(status: StatusCode, text: &str) -> Self {
        Answer::new(status, TEXT, format!("{text}\n"))
    }
}

impl From<Verdict> for Answer {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Ok(text) => Answer::line(StatusCode::OK, text),
            Err(why) => Answer::line(StatusCode::SERVICE_UNAVAILABLE, &why),
        }
    }
}

/// The value of a header, if there is one and it is text.
fn text_of<B>(request: &Request<B>, name: HeaderName) -> Option<&str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// Answers a request that has come to the address `local`.
pub(super) fn answer<B>(site: &Site, request: &Request<B>, local: IpAddr) -> Response<Full<Bytes>> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let answer = if local.to_canonical().is_loopback() && !names_this_machine(request) {
        Answer::line(StatusCode::MISDIRECTED_REQUEST, "this listener is on localhost")
    } else if is_read {
        get(site, request)
    } else {
        Answer::line(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only")
    };
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(policy) = answer.policy {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    }
    if !is_read {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        // What follows the head is not read.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn get<B>(site: &Site, request: &Request<B>) -> Answer {
    let server = site.server;
    match request.uri().path() {
        "/livez" => probes::live(&server.heartbeats, server.clock.now()).into(),
        "/readyz" => probes::ready(&server.phases).into(),
        "/metrics" => {
            let format = Format::wanted(text_of(request, header::ACCEPT));
            match site.metrics.scrape(format) {
                Ok(body) => Answer::new(StatusCode::OK, format.content_type(), body),
                Err(_) => Answer::line(StatusCode::INTERNAL_SERVER_ERROR, "no metrics"),
            }
        }
        "/" => Answer {
            policy: Some(site.page.policy.clone()),
            ..Answer::new(StatusCode::OK, "text/html; charset=utf-8", site.page.html.clone())
        },
        "/api/stats" => match api::report(site, since(request.uri().query())) {
            Ok(body) => Answer::new(StatusCode::OK, "application/json", body),
            Err(_) => Answer::line(StatusCode::INTERNAL_SERVER_ERROR, "no figures"),
        },
        _ => Answer::line(StatusCode::NOT_FOUND, "there are /, /livez, /readyz and /metrics"),
    }
}

/// The number of the sample that is wanted first, 0 if none is named.
fn since(query: Option<&str>) -> u64 {
    let fields = query.unwrap_or("").split('&').filter_map(|field| field.split_once('='));
    let mut named = fields.filter(|(name, _)| *name == "since");
    named.next().and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
}

/// Whether the request was meant for an address or for localhost, and not for a name that somebody
/// else decides about.
fn names_this_machine<B>(request: &Request<B>) -> bool {
    let named = text_of(request, header::HOST).or(request.uri().host());
    named.is_none_or(|named| is_own(named.trim()))
}

fn is_own(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => authority.split(':').next().unwrap_or(""),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_or_localhost() {
        for own in ["localhost", "LOCALHOST:9", "127.0.0.1", "127.0.0.1:80", "[::1]:80", "[::1]"] {
            assert!(is_own(own), "{own}");
        }
        for other in ["", "evil.example", "evil.example:80", "localhost.evil", "[", "[x]:1", ":80"]
        {
            assert!(!is_own(other), "{other}");
        }
    }

    #[test]
    fn samples_are_asked_for_by_number() {
        assert_eq!(since(Some("a=1&since=12&since=13")), 12);
        for none in [None, Some(""), Some("since"), Some("since=x"), Some("since=-1")] {
            assert_eq!(since(none), 0);
        }
    }

    #[test]
    fn a_request_without_a_host_is_for_this_machine() {
        let named = |host: &'static str| {
            let request = Request::builder().header(header::HOST, host);
            names_this_machine(&request.body(()).unwrap())
        };
        assert!(names_this_machine(&Request::new(())));
        assert!(named("localhost:9121"));
        assert!(!named("rebound.example"));
        let absolute = Request::builder().uri("http://rebound.example/metrics").body(()).unwrap();
        assert!(!names_this_machine(&absolute));
    }
}
