//! Other upstreams, and what is sent to them.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::Arc,
    thread,
};

use rcgen::{CertifiedKey, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};
use socket2::Socket;

use super::{
    super::{
        llm::answer,
        llm_stream::{EVENTS, question},
        message::get,
    },
    *,
};

const CREDENTIALS: [(&str, &str); 4] = [
    ("Authorization", "Bearer clients"),
    ("X-Api-Key", "clients"),
    ("Cookie", "session=clients"),
    ("X-Goog-Api-Key", "clients"),
];

/// A proxy whose upstream refuses connections, for as long as the socket lives.
async fn proxy(fallbacks: &[&str], environment: &[(&str, &str)]) -> (Socket, Proxy) {
    let (socket, address) = nowhere();
    let upstream = format!("http://{address}/first");
    let mut args = vec!["--listen", "127.0.0.1:0", "--retries", "0", "--upstream", &upstream];
    fallbacks.iter().for_each(|url| args.extend(["--fallback", url]));
    (socket, Proxy::launch(&args, environment).await)
}

async fn answering() -> Origin {
    Origin::answering(|_, number| response(200, &[JSON], answer(number))).await
}

#[tokio::test]
async fn another_upstream_gets_the_request_below_its_own_path_and_without_the_clients_credentials() {
    let other = answering().await;
    let (_socket, proxy) = proxy(&[&format!("{}/second/", other.url())], &[]).await;
    let fields: Vec<_> = CREDENTIALS.into_iter().chain([("X-Forwarded-For", "10.0.0.1")]).collect();
    let given = proxy.ask(post_json(&format!("{CHAT}?a=1"), &fields, QUESTION)).await;
    assert_eq!((given.status(), given.text()), (200, &*answer(1)));
    assert_eq!((given.field("larder-attempts"), given.field("larder-fallback")), (Some("2"), Some("upstream")));
    let seen = other.request();
    assert_eq!((seen.target(), seen.text()), (&*format!("/second{CHAT}?a=1"), QUESTION));
    assert_eq!(seen.field("host"), Some(&*other.address().to_string()));
    for (name, _) in CREDENTIALS {
        assert_eq!(seen.field(&name.to_ascii_lowercase()), None, "{name}");
    }
    // It hears of the client what the first one hears.
    assert_eq!(seen.field("x-forwarded-for"), Some("10.0.0.1, 127.0.0.1"));
    assert_eq!((seen.field("x-forwarded-host"), seen.field("x-forwarded-proto")), (Some("proxy.test"), Some("http")));
    assert_eq!((seen.field("via"), seen.field("accept-encoding")), (Some("1.1 larder"), Some("identity")));
    let line = proxy.log().find(|line| line.contains("status=200")).await;
    assert!(line.contains("attempts=2") && line.contains("fallback=\"upstream\""), "{line}");
    let again = proxy.ask(post_json(&format!("{CHAT}?a=1"), &fields, QUESTION)).await;
    assert!(again.is_hit(), "the same model's answer is kept: {}", again.cache());
}

#[tokio::test]
async fn another_key_and_model_are_sent_where_they_belong_and_their_answers_are_not_kept() {
    let other = answering().await;
    let url = format!("{},model=small,key-env=OTHER_API_KEY", other.url());
    let (_socket, proxy) = proxy(&[&url], &[("OTHER_API_KEY", "s3cret\n")]).await;
    for calls in 1..=2 {
        let given = proxy.ask(post_json(CHAT, &CREDENTIALS, QUESTION)).await;
        assert_eq!((given.status(), given.text(), other.calls()), (200, &*answer(calls), calls));
        assert!(!given.cache().contains("stored"), "{}", given.cache());
        let seen = other.requests().pop().expect("a request");
        assert_eq!(seen.text(), QUESTION.replace("gpt-4o", "small"));
        assert_eq!(seen.field("content-length"), Some(&*seen.body.len().to_string()));
        assert_eq!(seen.field("authorization"), Some("Bearer s3cret"));
        assert_eq!((seen.field("x-api-key"), seen.field("cookie")), (None, None));
    }
    for line in proxy.log().all().into_iter().chain(proxy.out().all()) {
        assert!(!line.contains("s3cret"), "{line}");
    }
}

#[tokio::test]
async fn the_clients_credentials_go_where_they_are_told_to() {
    let other = answering().await;
    let (_socket, proxy) = proxy(&[&format!("{},client-credentials", other.url())], &[]).await;
    assert_eq!(proxy.ask(post_json(CHAT, &CREDENTIALS, QUESTION)).await.status(), 200);
    let seen = other.request();
    for (name, value) in CREDENTIALS {
        assert_eq!(seen.field(&name.to_ascii_lowercase()), Some(value), "{name}");
    }
}

#[tokio::test]
async fn fallbacks_are_asked_in_their_order_until_one_answers() {
    let bad = Origin::answering(|_, _| error(500)).await;
    let refusing = Origin::answering(|_, _| response(401, &[JSON], "{}")).await;
    let (good, spare) = (answering().await, answering().await);
    let (_dead, address) = nowhere();
    let urls = [
        bad.url(),
        format!("http://{address}"),
        // A key of the proxy's that is refused is nothing that the client can mend.
        format!("{},key-env=OTHER_API_KEY", refusing.url()),
        good.url(),
        spare.url(),
    ];
    let joined = urls.join(" ");
    let (_socket, upstream) = nowhere();
    let upstream = format!("http://{upstream}");
    let environment = [("OTHER_API_KEY", "k"), ("LARDER_FALLBACK", &*joined)];
    let args = ["--listen=127.0.0.1:0", "--retries=0", "--upstream", &upstream];
    let proxy = Proxy::launch(&args, &environment).await;
    let given = proxy.ask(about("m")).await;
    assert_eq!((given.text(), given.field("larder-attempts")), (&*answer(1), Some("5")), "{given:?}");
    assert_eq!((bad.calls(), refusing.calls(), good.calls(), spare.calls()), (1, 1, 1, 0));
}

#[tokio::test]
async fn a_fallback_that_wants_a_key_or_another_path_is_not_what_the_client_hears_of() {
    for status in [401, 404] {
        let other = Origin::answering(move |_, _| response(status, &[JSON], "{}")).await;
        let (_socket, proxy) = proxy(&[&other.url()], &[]).await;
        assert_is_problem(&proxy.ask(about("m")).await, 502, 2);
        assert_eq!(other.calls(), 1);
    }
}

#[tokio::test]
async fn a_stream_may_come_from_another_upstream() {
    let sse = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")];
    let other = Origin::answering(move |_, _| {
        let events = EVENTS.into_iter().flat_map(chunk);
        response(200, &sse, "").into_iter().chain(events).chain(chunk("")).collect()
    })
    .await;
    let (_socket, proxy) = proxy(&[&other.url()], &[]).await;
    let given = proxy.ask(question()).await;
    assert_eq!(
        (given.status(), given.text(), given.field("larder-fallback")),
        (200, &*EVENTS.concat(), Some("upstream"))
    );
    assert!(proxy.ask(question()).await.is_hit());
}

#[tokio::test]
async fn nobody_leaves_the_path_of_another_upstream() {
    let other = answering().await;
    let (_socket, address) = nowhere();
    let fallback = format!("{}/ours", other.url());
    let args = ["--retries", "0", "--fallback", &fallback];
    let proxy = Proxy::before(&format!("http://{address}"), &args).await;
    for target in ["/../theirs", "/a/%2e%2E/../theirs", "/.."] {
        assert_eq!(proxy.ask(get(target, &[])).await.status(), 400, "{target}");
    }
    assert_eq!(other.calls(), 0);
    assert_eq!(proxy.ask(get("/a", &[])).await.status(), 200);
    assert_eq!(other.request().target(), "/ours/a");
}

#[tokio::test]
async fn the_upstream_is_used_again_as_soon_as_it_is_back() {
    let (socket, address) = nowhere();
    let other = answering().await;
    let url = other.url();
    let proxy = Proxy::before(&format!("http://{address}"), &["--retries", "0", "--fallback", &url]).await;
    assert_eq!(proxy.ask(about("a")).await.field("larder-fallback"), Some("upstream"));
    socket.listen(16).expect("its own address");
    let listener: TcpListener = socket.into();
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the proxy");
        let mut seen = vec![0; 64 << 10];
        let mut length = 0;
        while !seen[..length].ends_with(b"}]}") {
            length += stream.read(&mut seen[length..]).expect("a request");
        }
        stream.write_all(&response(200, &[JSON], answer(7))).expect("a live proxy");
    });
    let given = proxy.ask(about("b")).await;
    assert_eq!((given.text(), given.field("larder-fallback")), (&*answer(7), None));
    assert_eq!(other.calls(), 1);
    served.join().expect("it was asked");
}

#[tokio::test]
async fn certificates_are_checked_where_only_a_fallback_speaks_tls() {
    let certified = || rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let (own, another) = (certified(), certified());
    let url = speaking_tls(&own);
    for (trusted, status) in [(&another, 502), (&own, 200)] {
        let authorities = File::with(&trusted.cert.pem());
        let (_socket, proxy) = proxy(&[&url], &[("SSL_CERT_FILE", authorities.path())]).await;
        let given = proxy.ask(get("/a", &[])).await;
        assert_eq!(given.status(), status, "{:#?}", proxy.log().all());
    }
}

/// An upstream with this certificate, by its URL; it answers one request on each connection.
fn speaking_tls(certified: &CertifiedKey<KeyPair>) -> String {
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![certified.cert.der().clone()], key));
    let config = Arc::new(config.expect("a certificate and its key"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(config.clone()).expect("good settings");
            let mut stream = StreamOwned::new(connection, stream);
            let mut seen = Vec::new();
            // Nothing is said to whom the certificate won't do.
            while !seen.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                match stream.read(&mut byte) {
                    Ok(1..) => seen.extend(byte),
                    Ok(0) | Err(_) => break,
                }
            }
            let _gone = stream.write_all(&response(200, &[("Connection", "close")], "ok"));
        }
    });
    format!("https://{address}")
}
