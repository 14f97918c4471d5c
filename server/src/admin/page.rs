//! The dashboard: one page that needs nothing else.
//!
//! Its sources are under `dashboard/`; style and script are put into the page when the process
//! starts. The policy that goes with it allows exactly these two, by their hashes, and requests to
//! this listener: even if a name of a key could become part of the page, it could not run.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hyper::header::HeaderValue;
use sha2::{Digest as _, Sha256};

const INDEX: &str = include_str!("dashboard/index.html");
const STYLE: &str = include_str!("dashboard/style.css");
const SCRIPT: &str = concat!(
    "\"use strict\";\n",
    include_str!("dashboard/format.js"),
    include_str!("dashboard/dom.js"),
    include_str!("dashboard/chart.js"),
    include_str!("dashboard/panels.js"),
    include_str!("dashboard/main.js"),
);
/// Where they go.
const STYLE_MARK: &str = "{{style}}";
const SCRIPT_MARK: &str = "{{script}}";

/// The page, ready to be sent.
pub(super) struct Page {
    /// The document.
    pub(super) html: Bytes,
    /// Content-Security-Policy.
    pub(super) policy: HeaderValue,
}

impl Page {
    pub(super) fn new() -> Self {
        let html = INDEX.replacen(STYLE_MARK, STYLE, 1).replacen(SCRIPT_MARK, SCRIPT, 1);
        let policy = format!(
            "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; \
             img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash(STYLE),
            hash(SCRIPT)
        );
        // A hash is ASCII; a policy that forbids all is what is left if it ever were not.
        let policy =
            HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        Page { html: html.into(), policy }
    }
}

/// A source as a policy names it.
fn hash(source: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(source)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole() {
        let page = Page::new();
        let html = std::str::from_utf8(&page.html).unwrap();
        for part in [STYLE, SCRIPT] {
            assert_eq!(html.matches(part).count(), 1);
        }
        assert!(!html.contains("{{"));
        // Nothing is fetched from elsewhere, and nothing stands where the policy forbids it.
        for word in ["http://", "https://", " style=\"", " onclick=", "@import", "innerHTML"] {
            assert!(!html.replace("http://www.w3.org/2000/svg", "").contains(word), "{word}");
        }
        assert!(!SCRIPT.contains("</script") && !STYLE.contains("</style"));
    }

    #[test]
    fn the_policy_names_what_is_in_the_page() {
        // From another implementation: printf '' | openssl dgst -sha256 -binary | base64
        assert_eq!(hash(""), "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        let policy = Page::new().policy;
        let policy = policy.to_str().unwrap();
        assert!(policy.contains(&hash(SCRIPT)) && policy.contains(&hash(STYLE)), "{policy}");
    }
}
