//! Flags, the environment, and what is said about bad ones.

use std::net::TcpListener;

use super::{
    llm::{CHAT, QUESTION, answer},
    message::{get, post_json, response},
    origin::Origin,
    process::{Bad, Ended, Proxy, assert_refused, run},
};

const GOOD: [&str; 2] = ["--upstream=http://127.0.0.1:9", "--listen=127.0.0.1:0"];

const BAD: [Bad<'_>; 11] = [
    (
        "--upstream",
        "LARDER_UPSTREAM",
        &[
            "",
            "api.openai.com",
            "ftp://host",
            "http://",
            "http://:80",
            "/v1",
            "http://host?x=1",
            "http://user:pw@host",
            "http://host:99999",
            "http://a b",
        ],
        "URL",
    ),
    (
        "--listen",
        "LARDER_LISTEN",
        &["", "8080", "localhost", "127.0.0.1", "127.0.0.1:65536", "[::1]"],
        "127.0.0.1:8080",
    ),
    ("--profile", "LARDER_PROFILE", &["", "LLM!", "https"], "llm"),
    (
        "--store",
        "LARDER_STORE",
        &[
            "",
            "redis://",
            "redis://a,b",
            "redis://h?x=1",
            "http://h",
            "memory",
            "memory:",
            "memory:x",
            "memory:-1",
            "memory:0",
            "memory:99999999999999999999",
        ],
        "memory:",
    ),
    ("--store-timeout", "LARDER_STORE_TIMEOUT", &["", "0s", "-1s", "50"], "above zero"),
    ("--ttl", "LARDER_TTL", &["", "0s", "-1s", "1", "soon", "1 fortnight", "200years", "18446744073709551616s"], "24h"),
    ("--stale-while-revalidate", "LARDER_STALE_WHILE_REVALIDATE", &["", "-1s", "5", "200years"], "0s"),
    ("--stale-if-error", "LARDER_STALE_IF_ERROR", &["", "-1s", "5", "18446744073709551615s"], "7d"),
    ("--max-body", "LARDER_MAX_BODY", &["", "0", "-1", "x", "2TiB", "18446744073709551615", "1e99GiB"], "16MiB"),
    ("--threads", "LARDER_THREADS", &["", "0", "-1", "1025", "many", "18446744073709551616"], "1 to 1024"),
    ("--log", "LARDER_LOG", &["=", "info,=x", "larder=loud"], "error, warn, info"),
];

#[tokio::test]
async fn a_bad_value_ends_the_program_with_the_flags_name_and_what_it_takes() {
    assert_refused(&BAD, &GOOD, None).await;
}

#[tokio::test]
async fn a_log_level_that_is_none_is_not_taken_for_silence() {
    for level in ["loud", "verbose", "information"] {
        let Ended { code, errors, .. } = run(&["--demo", "--listen", "127.0.0.1:0", "--log", level], &[]).await;
        assert!(code == Some(2) && errors.contains("--log"), "{level}: {errors}");
    }
}

#[tokio::test]
async fn what_is_missing_or_unknown_is_said() {
    for (args, named) in [
        (&[][..], "--upstream"),
        (&["--listen", "127.0.0.1:0"], "--upstream"),
        (&["--upstream"], "--upstream"),
        (&["--upstream", "http://127.0.0.1:9", "--demo"], "--demo"),
        (&["--demo", "--tll", "1h"], "--tll"),
        (&["--demo", "extra"], "extra"),
        (&["--demo", "--ttl", "1h", "--ttl", "2h"], "--ttl"),
    ] {
        let Ended { code, errors, .. } = run(args, &[]).await;
        assert!(code == Some(2) && errors.contains(named), "{args:?}: {errors}");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("a bound socket").to_string();
    let upstream = ["--upstream", "http://127.0.0.1:9", "--listen", &address];
    let Ended { code, errors, .. } = run(&upstream, &[]).await;
    assert!(code.is_some_and(|code| code != 0), "{code:?}: {errors}");
    assert!(errors.contains("--listen") && errors.contains(&address), "{errors}");
    assert!(errors.to_lowercase().contains("in use"), "{errors}");
}

#[tokio::test]
async fn the_environment_does_what_flags_do() {
    let fields = [("Content-Type", "application/json"), ("Cache-Control", "max-age=60")];
    let origin = Origin::answering(move |_, number| response(200, &fields, answer(number))).await;
    let url = origin.url();
    let environment = [
        ("LARDER_UPSTREAM", url.as_str()),
        ("LARDER_LISTEN", "127.0.0.1:0"),
        ("LARDER_PROFILE", "http"),
        ("LARDER_STORE", "memory:1MiB"),
        ("LARDER_TTL", "1h"),
        ("LARDER_STALE_WHILE_REVALIDATE", "1s"),
        ("LARDER_STALE_IF_ERROR", "1s"),
        ("LARDER_MAX_BODY", "1KiB"),
        ("LARDER_THREADS", "1"),
        ("LARDER_LOG", "warn"),
    ];
    let proxy = Proxy::launch(&[], &environment).await;
    for hit in [false, true] {
        assert_eq!(proxy.ask(get("/a", &[])).await.is_hit(), hit);
        assert!(!proxy.ask(post_json(CHAT, &[], QUESTION)).await.is_hit(), "the profile is http");
    }
    assert_eq!(proxy.log().all().len(), 1, "the level is warn: {:#?}", proxy.log().all());
    let proxy = Proxy::launch(&["--profile", "llm", "--threads", "2"], &environment).await;
    for hit in [false, true] {
        let given = proxy.ask(post_json(CHAT, &[], QUESTION)).await;
        assert_eq!(given.is_hit(), hit, "a flag goes before the environment");
    }
}

#[tokio::test]
async fn every_flag_takes_what_it_says() {
    let origin = Origin::answering(|_, _| response(200, &[], "ok")).await;
    let args = [
        "--profile=llm",
        "--store=memory:64MiB",
        "--ttl=90s",
        "--stale-while-revalidate=10m",
        "--stale-if-error=7d",
        "--max-body=1B",
        "--threads=3",
        "--log=larder=debug,proxy=info",
    ];
    assert_eq!(Proxy::start(&origin, &args).await.ask(get("/a", &[])).await.text(), "ok");
    let help = run(&["--help"], &[]).await;
    assert_eq!(help.code, Some(0));
    for (flag, variable, _, _) in BAD {
        assert!(help.out.contains(flag) && help.out.contains(variable), "{flag}: {}", help.out);
    }
    assert!(help.out.contains("--demo"));
}

#[tokio::test]
async fn the_demos_first_commands_are_answered_from_the_larder_the_second_time() {
    let proxy = Proxy::launch(&["--demo", "--listen", "127.0.0.1:0"], &[]).await;
    let is_command = |line: &&String| line.starts_with("curl ") && line.contains(" -d ");
    proxy.out().wait(|lines| lines.iter().filter(is_command).count() == 6).await;
    for command in proxy.out().all().iter().filter(is_command).take(2) {
        assert!(command.contains(&format!("http://{}{CHAT}", proxy.address())), "{command}");
        let body = command.split("-d '").nth(1).and_then(|rest| rest.split('\'').next()).expect("a body");
        let first = proxy.ask(post_json(CHAT, &[], body)).await;
        let again = proxy.ask(post_json(CHAT, &[], body)).await;
        assert_eq!((first.status(), first.is_hit(), again.is_hit()), (200, false, true), "{command}");
        assert_eq!(again.body, first.body);
    }
}
