//! The demo's limit, as a newcomer sees it.

use super::*;

async fn demo(args: &[&str]) -> Proxy {
    let args: Vec<_> = ["--demo", "--listen", "127.0.0.1:0"].iter().chain(args).copied().collect();
    Proxy::launch(&args, &[]).await
}

#[tokio::test]
async fn the_demo_denies_the_sixth_request_and_says_so_in_what_it_prints() {
    let proxy = demo(&[]).await;
    let url = format!("http://{}/v1/models", proxy.address());
    let printed = proxy.out().find(|line| line.starts_with("for i in 1 2 3 4 5 6; do curl ")).await;
    assert!(printed.contains(&url) && printed.contains("authorization: Bearer one"), "{printed}");
    let ask = async |key: &str| proxy.ask(get("/v1/models", &[("Authorization", &format!("Bearer {key}"))])).await;
    for left in (0..5).rev() {
        let given = ask("one").await;
        assert_eq!((given.status(), given.field("x-ratelimit-remaining")), (200, Some(&*left.to_string())));
    }
    assert_denied(&ask("one").await, &["rpm-key-v1-models"]);
    assert_eq!(ask("two").await.status(), 200);
    let chat = proxy.ask(post_json(CHAT, &[], r#"{"model":"demo-quota","messages":[{"role":"user","content":"hi"}]}"#));
    assert_eq!(chat.await.field("ratelimit"), None, "what else it shows has no limit");
}

#[tokio::test]
async fn a_limit_of_ones_own_takes_the_place_of_the_demos() {
    let proxy = demo(&["--limit", "1/min:all:/v1/models/demo"]).await;
    for _ in 0..7 {
        assert_eq!(proxy.ask(get("/v1/models", &[])).await.status(), 200);
    }
    assert_eq!(proxy.ask(get("/v1/models/demo", &[])).await.status(), 200);
    assert_eq!(proxy.ask(get("/v1/models/demo", &[])).await.status(), 429);
    assert!(!proxy.out().all().iter().any(|line| line.starts_with("for ")), "{:?}", proxy.out().all());
}
