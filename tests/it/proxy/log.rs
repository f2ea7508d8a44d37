//! One line for each request, and no secrets in it.

use super::{
    llm::{CHAT, QUESTION, answer},
    llm_stream::EVENTS,
    message::{chunk, get, post_json, response},
    origin::{Origin, nowhere},
    process::Proxy,
};

async fn origin() -> Origin {
    Origin::serving(|mut conversation| async move {
        while let Some((request, number)) = conversation.request().await? {
            if request.target() == "/cut" {
                return conversation.wire.send(response(200, &[("Content-Length", "9")], "cut")).await;
            }
            let whole = response(200, &[("Content-Type", "application/json")], answer(number));
            conversation.wire.send(whole).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn each_request_has_one_line() {
    let origin = origin().await;
    let proxy = Proxy::start(&origin, &[]).await;
    let about =
        |lines: &[String]| -> Vec<String> { lines.iter().filter(|line| line.contains("/v1/")).cloned().collect() };
    let length = format!("bytes={}", answer(1).len());
    let cases = [
        (post_json(CHAT, &[], QUESTION), ["method=POST", CHAT, "status=200", "cache=uri-miss", &length]),
        (post_json(CHAT, &[], QUESTION), ["method=POST", CHAT, "status=200", "cache=hit", &length]),
        (post_json("/v1/files", &[], QUESTION), ["method=POST", "/v1/files", "status=200", "cache=method", &length]),
        (
            get("/v1/models", &[("Cache-Control", "only-if-cached")]),
            ["method=GET", "/v1/models", "status=504", "cache=uri-miss", "bytes=0"],
        ),
    ];
    for (index, (asked, parts)) in cases.into_iter().enumerate() {
        proxy.ask(asked).await;
        proxy.log().wait(|lines| about(lines).len() > index).await;
        let line = about(&proxy.log().all()).pop().expect("a line").replace('"', "");
        for part in parts.into_iter().chain(["INFO", "time=", "ms"]) {
            assert!(line.contains(part), "no {part} in {line}");
        }
    }
    proxy.ask(post_json("/v1/last", &[], "{}")).await;
    proxy.log().find(|line| line.contains("/v1/last")).await;
    assert_eq!(about(&proxy.log().all()).len(), 5, "{:#?}", proxy.log().all());
}

#[tokio::test]
async fn a_body_that_broke_off_is_logged_as_broken() {
    let origin = origin().await;
    let proxy = Proxy::start(&origin, &[]).await;
    assert!(proxy.connect().await.try_ask(get("/cut", &[])).await.is_err());
    let line = proxy.log().find(|line| line.contains("/cut")).await;
    assert!(line.contains("broken=true"), "{line}");
}

#[tokio::test]
async fn an_event_stream_that_was_given_another_end_is_logged_as_broken() {
    let origin = Origin::serving(|mut conversation| async move {
        while let Some((request, _)) = conversation.request().await? {
            let is_cut = request.text().contains("cut");
            let sse = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")];
            conversation.wire.send([response(200, &sse, ""), chunk(EVENTS[0])].concat()).await?;
            if is_cut {
                return Ok(());
            }
            conversation.wire.send([chunk("data: [DONE]\n\n"), chunk("")].concat()).await?;
        }
        Ok(())
    })
    .await;
    let proxy = Proxy::start(&origin, &[]).await;
    for (path, text, broken) in [("/a/v1/messages", "whole", "broken=false"), ("/b/v1/messages", "cut", "broken=true")]
    {
        let given = proxy.ask(post_json(path, &[], &QUESTION.replace("hi", text))).await;
        assert_eq!((given.status(), given.text().contains("event: error")), (200, text == "cut"), "{given:?}");
        let line = proxy.log().find(|line| line.contains(path)).await;
        assert!(line.contains(broken), "{line}");
    }
}

#[tokio::test]
async fn secrets_are_not_logged() {
    let (_socket, address) = nowhere();
    let (origin, down) = (origin().await, format!("http://{address}"));
    let fields = [
        ("Authorization", "Bearer s3cret"),
        ("X-Api-Key", "s3cret"),
        ("Api-Key", "s3cret"),
        ("Cookie", "session=s3cret"),
        ("Proxy-Authorization", "Basic s3cret"),
        ("Referer", "http://x/?key=s3cret"),
    ];
    let body = QUESTION.replace("hi", "s3cret");
    for upstream in [origin.url(), down] {
        for level in ["info", "debug"] {
            let proxy = Proxy::before(&upstream, &["--log", level]).await;
            proxy.ask(post_json(&format!("{CHAT}?key=s3cret"), &fields, &body)).await;
            proxy.ask(get("http://user:s3cret@other.example/v1/models?key=s3cret", &fields)).await;
            proxy.ask(get("/v1/models?s3cret", &fields)).await;
            let _broken = proxy.connect().await.try_ask(get("/cut", &fields)).await;
            let _refused = proxy.connect().await.try_ask(get("/bad target?key=s3cret", &fields)).await;
            let mut client = proxy.connect().await;
            client.send("GET /?key=s3cret HTTP/1.1\r\nAuthorization: s3cret\r\nb\0d\r\n\r\n").await.expect("sent");
            let _refused = client.response().await;
            proxy.ask(get("/v1/last", &fields)).await;
            proxy.log().find(|line| line.contains("/v1/last")).await;
            for line in proxy.log().all() {
                assert!(!line.contains("s3cret"), "{level}: {line}");
            }
        }
    }
}
