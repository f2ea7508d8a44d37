//! What the log says of limits.

use super::*;

/// The line of a target.
async fn line(proxy: &Proxy, target: &str) -> String {
    proxy.log().find(|line| line.contains(&format!("path=\"{target}\""))).await
}

#[tokio::test]
async fn the_log_says_what_became_of_a_request_and_by_which_limit() {
    let origin = origin().await;
    let limits = ["--limit=1/min:all:/a", "--limit=1/min:all:/b,shadow,name=watched"];
    let proxy = Proxy::start(&origin, &limits).await;
    for target in ["/a/1", "/a/2", "/b/1", "/b/2", "/c"] {
        let given = proxy.ask(get(target, &[])).await;
        let expected = if target == "/a/2" { 429 } else { 200 };
        assert_eq!(given.status(), expected, "{target}");
        assert!(target.starts_with("/a") || given.field("ratelimit").is_none(), "a shadow isn't told: {given:?}");
    }
    for (target, said, unsaid) in [
        ("/a/1", &["limit=\"allowed\""][..], &["denied_by", "would_deny"][..]),
        ("/a/2", &["limit=\"denied\"", "denied_by=\"rpm-a\"", "status=429", "cache=\"none\""], &["would_deny"]),
        ("/b/1", &["limit=\"allowed\""], &["denied_by", "would_deny"]),
        ("/b/2", &["limit=\"allowed\"", "would_deny=\"watched\"", "status=200"], &["denied_by"]),
        ("/c", &[], &["limit=", "denied_by", "would_deny"]),
    ] {
        let line = line(&proxy, target).await;
        assert!(said.iter().all(|part| line.contains(part)), "{line}");
        assert!(!unsaid.iter().any(|part| line.contains(part)), "{line}");
    }
}

#[tokio::test]
async fn keys_are_not_logged() {
    let origin = origin().await;
    let proxy = Proxy::start(&origin, &["--log=trace", "--limit=1/min:key", "--limit=1/min:header=x-org-id"]).await;
    let fields = [("Authorization", "Bearer s3cret"), ("X-Org-Id", "s3cret")];
    assert_eq!(statuses(&proxy, &[&fields, &fields]).await, [200, 429]);
    proxy.ask(get("/last", &[])).await;
    proxy.log().find(|line| line.contains("path=\"/last\"")).await;
    let leak = proxy.log().all().into_iter().find(|line| line.contains("s3cret"));
    assert_eq!(leak, None);
}
