//! What the flags take, and what is said about the rest.

use super::{
    super::{
        llm::answer,
        message::get,
        process::{Bad, Ended, assert_refused, run},
    },
    *,
};

const GOOD: [&str; 2] = ["--upstream=http://127.0.0.1:9/v1", "--listen=127.0.0.1:0"];
const SECRET: &str = "s3cret";

const BAD: [Bad<'_>; 4] = [
    ("--retries", "LARDER_RETRIES", &["", "-1", "101", "many", "1.5", "99999999999"], "0, for none, to 100"),
    ("--attempt-timeout", "LARDER_ATTEMPT_TIMEOUT", &["", "0s", "none", "-1s", "10"], "above zero"),
    ("--deadline", "LARDER_DEADLINE", &["", "0s", "never", "None", "-1s", "10"], "or none"),
    (
        "--fallback",
        "LARDER_FALLBACK",
        &[
            "",
            "mirror.example",
            "ftp://mirror.example",
            "https://",
            "https://mirror.example?key=s3cret",
            "https://user:s3cret@mirror.example",
            "https://mirror.example:99999",
            "https://mirror.example,",
            "https://mirror.example,model",
            "https://mirror.example,model=",
            "https://mirror.example,model=a,model=b",
            "https://mirror.example,mode=a",
            "https://mirror.example,client-credentials=yes",
            "https://mirror.example,client-credentials,client-credentials",
        ],
        "client-credentials",
    ),
];

#[tokio::test]
async fn a_bad_value_is_said_with_its_flag_and_what_it_takes_and_nothing_secret() {
    assert_refused(&BAD, &GOOD, Some(SECRET)).await;
}

#[tokio::test]
async fn a_key_that_can_not_be_had_is_said_by_the_name_of_its_variable_alone() {
    let cases = [
        ("key-env=OTHER_API_KEY", &[][..], "OTHER_API_KEY isn't set"),
        ("key-env=OTHER_API_KEY", &[("OTHER_API_KEY", " ")][..], "OTHER_API_KEY isn't set"),
        ("key-env=OTHER_API_KEY", &[("OTHER_API_KEY", "s3\u{1}cret")][..], "OTHER_API_KEY can't be a bearer token"),
        ("key-env=", &[][..], "the name of an environment variable"),
        ("key-env=sk-s3cret", &[][..], "the name of an environment variable"),
        ("key-env=OTHER_API_KEY,client-credentials", &[("OTHER_API_KEY", SECRET)][..], "not both"),
        ("key-env=OTHER_API_KEY,key-env=OTHER_API_KEY", &[("OTHER_API_KEY", SECRET)][..], "once"),
    ];
    for (options, environment, said) in cases {
        let fallback = format!("--fallback=https://mirror.example/v1,{options}");
        let Ended { code, errors, .. } = run(&[GOOD[0], GOOD[1], &fallback], environment).await;
        assert!(code == Some(2) && errors.contains("--fallback") && errors.contains(said), "{options}: {errors}");
        assert!(!errors.contains(SECRET) && !errors.contains("cret\n"), "{options}: {errors}");
        assert!(errors.contains("https://mirror.example"), "which of them it is: {errors}");
    }
}

#[tokio::test]
async fn a_fallback_to_the_upstream_itself_is_refused_unless_it_asks_for_something_else() {
    for fallback in ["http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1/,client-credentials"] {
        let Ended { code, errors, .. } = run(&[GOOD[0], GOOD[1], "--fallback", fallback], &[]).await;
        assert!(code == Some(1) && errors.contains("is the upstream itself"), "{fallback}: {code:?} {errors}");
    }
    let origin = Origin::answering(|request, number| {
        if request.text().contains("small") { response(200, &[JSON], answer(number)) } else { error(503) }
    })
    .await;
    let fallback = format!("{},model=small,client-credentials", origin.url());
    let proxy = Proxy::start(&origin, &["--retries", "0", "--fallback", &fallback]).await;
    let given = proxy.ask(post_json(CHAT, &[("Authorization", "Bearer own")], QUESTION)).await;
    assert_eq!((given.status(), given.field("larder-fallback")), (200, Some("upstream")));
    assert_eq!(origin.requests()[1].field("authorization"), Some("Bearer own"));
}

#[tokio::test]
async fn a_fallback_to_the_proxy_itself_is_refused() {
    let (socket, address) = nowhere();
    drop(socket);
    for host in ["127.0.0.1", "localhost"] {
        let itself = format!("http://{host}:{}", address.port());
        let listen = format!("--listen={address}");
        for args in
            [["--upstream", "http://127.0.0.1:9", "--fallback", &itself], ["--upstream", &itself, "--ttl", "1h"]]
        {
            let args: Vec<_> = args.into_iter().chain([listen.as_str()]).collect();
            let Ended { code, errors, .. } = run(&args, &[]).await;
            assert!(code == Some(1) && errors.contains("where the proxy itself listens"), "{args:?}: {errors}");
            assert!(errors.contains(&itself), "{errors}");
        }
    }
}

#[tokio::test]
async fn a_default_response_that_can_not_be_sent_is_said_before_anything_is_served() {
    let cases = [
        ("", "EOF"),
        ("sorry", "expected"),
        (r#"{"code": 200}"#, "unknown field `code`"),
        (r#"{"status": 100}"#, "from 200 to 599"),
        (r#"{"status": 204, "body": "x"}"#, "no body"),
        (r#"{"headers": {"a b": "1"}}"#, "a b"),
        (r#"{"headers": {"x": 1}}"#, "x takes a string"),
        (r#"{"headers": {"transfer-encoding": "chunked"}}"#, "transfer-encoding"),
    ];
    for (text, said) in cases {
        let file = File::with(text);
        let Ended { code, errors, .. } = run(&[GOOD[0], GOOD[1], "--default-response", file.path()], &[]).await;
        assert!(code == Some(2) && errors.contains("--default-response") && errors.contains(said), "{text}: {errors}");
        assert!(errors.contains(file.path()), "{errors}");
    }
    let Ended { code, errors, .. } = run(&GOOD, &[("LARDER_DEFAULT_RESPONSE", "/nowhere/at/all.json")]).await;
    assert!(code == Some(2) && errors.contains("No such file") && errors.contains("/nowhere/at/all.json"), "{errors}");
}

#[tokio::test]
async fn the_environment_does_what_flags_do() {
    let origin = Origin::answering(|_, _| error(503)).await;
    let file = File::with(r#"{"body": "sorry"}"#);
    let url = origin.url();
    let environment = [
        ("LARDER_UPSTREAM", &*url),
        ("LARDER_LISTEN", "127.0.0.1:0"),
        ("LARDER_RETRIES", "1"),
        ("LARDER_ATTEMPT_TIMEOUT", "1m"),
        ("LARDER_DEADLINE", "1ms"),
        ("LARDER_DEFAULT_RESPONSE", file.path()),
    ];
    let given = Proxy::launch(&["--deadline", "none"], &environment).await.ask(get("/a", &[])).await;
    assert_eq!((given.status(), given.text(), given.field("larder-fallback")), (200, "sorry", Some("default")));
    assert_eq!(origin.calls(), 2, "a flag goes before the environment");
    let help = run(&["--help"], &[]).await;
    for (flag, variable, _, _) in
        BAD.into_iter().chain([("--default-response", "LARDER_DEFAULT_RESPONSE", &[][..], "")])
    {
        assert!(help.out.contains(flag) && help.out.contains(variable), "{flag}: {}", help.out);
    }
    let Ended { out, .. } = run(&["--help"], &[("LARDER_FALLBACK", "https://mirror.example/s3cret")]).await;
    assert!(!out.contains(SECRET), "what may be secret is not in the help: {out}");
}
