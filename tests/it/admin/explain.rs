//! The place for an explanation.

use bytes::Bytes;
use http::Request;
use larder::admin;
use serde_json::json;

use super::Served;

#[tokio::test]
async fn an_explainer_sees_both_requests_as_they_were_written() {
    let explain = |a: &Request<Bytes>, b: &Request<Bytes>| {
        let shown = |request: &Request<Bytes>| {
            let fields: Vec<_> = request
                .headers()
                .iter()
                .map(|(name, value)| (name.as_str().to_owned(), value.to_str().expect("printable").to_owned()))
                .collect();
            json!([
                request.method().as_str(),
                request.uri().to_string(),
                fields,
                String::from_utf8_lossy(request.body())
            ])
        };
        json!({"a": shown(a), "b": shown(b)})
    };
    let served = Served::new(admin::Builder::new().explain(explain).insecure().build()).await;
    // Spaces and a name that is there twice are a part of a body.
    let body = r#"{"a": {"uri": "/v1/chat", "body": {"model":  "m", "n": 1, "n": 2}, "headers": {"x": "1", "y": ["2", "3"]}},
                   "b": {"method": "GET", "uri": "http://h/a", "body": "a text \u00e9"}}"#;
    let said = served.post("/api/cache/explain", body).await.json();
    let a = json!(["POST", "/v1/chat", [["x", "1"], ["y", "2"], ["y", "3"]], r#"{"model":  "m", "n": 1, "n": 2}"#]);
    assert_eq!(said["a"], a);
    assert_eq!(said["b"], json!(["GET", "http://h/a", [], "a text é"]));
    for (body, advice) in [
        ("", "takes"),
        ("{}", "\"a\": request"),
        (r#"{"a": {"uri": "/"}}"#, "takes"),
        (r#"{"a": {"uri": "/"}, "b": {"uri": "a b"}}"#, "b.uri"),
        (r#"{"a": {"uri": "/", "method": "A B"}, "b": {"uri": "/"}}"#, "a.method"),
        (r#"{"a": {"uri": "/", "header": {}}, "b": {"uri": "/"}}"#, "header"),
    ] {
        let said = served.post("/api/cache/explain", body).await.problem(400);
        assert!(said.contains(advice), "{body}: {said}");
    }
    let secret = r#"{"a": {"uri": "/", "headers": {"authorization": "s3cret\n"}}, "b": {"uri": "/"}}"#;
    let said = served.post("/api/cache/explain", secret).await.problem(400);
    assert!(said.contains("a.headers") && !said.contains("s3cret"), "{said}");
    let large = format!(r#"{{"a": {{"uri": "/", "body": "{}"}}, "b": {{"uri": "/"}}}}"#, "x".repeat(17 << 20));
    served.post("/api/cache/explain", &large).await.problem(413);
}

#[tokio::test]
async fn without_an_explainer_it_says_how_to_have_one() {
    let served = Served::new(admin::Builder::new().insecure().build()).await;
    let said = served.post("/api/cache/explain", "{}").await.problem(501);
    assert!(said.contains("Builder::explain"), "{said}");
}

#[tokio::test]
async fn the_fingerprint_s_own_explanation_can_be_given() {
    let served = Served::new(admin::Builder::new().explain(larder::llm::explain).insecure().build()).await;
    let asked = |content: &str, user: &str| {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": content}], "user": user});
        let headers = json!({"content-type": "application/json", "authorization": "Bearer s3cret"});
        json!({"uri": "https://api.openai.com/v1/chat/completions", "headers": headers, "body": body})
    };
    let body = json!({"a": asked("hi", "ann"), "b": asked("hi", "bob")}).to_string();
    let said = served.post("/api/cache/explain", &body).await;
    assert_eq!(said.json()["is_shared"], true);
    assert!(!said.text.contains("s3cret"), "{}", said.text);
    let body = json!({"a": asked("hi", "ann"), "b": asked("Hi", "ann")}).to_string();
    let said = served.post("/api/cache/explain", &body).await.json();
    assert_eq!(
        (&said["is_shared"], &said["differences"][0]["at"]),
        (&false.into(), &"body.messages[0].content".into())
    );
}
