//! The flags about limits, and what is said about bad ones.

use super::*;

const GOOD: [&str; 2] = ["--upstream=http://127.0.0.1:9", "--listen=127.0.0.1:0"];
const SECRET: &str = "s3cret";

const BAD: [Bad<'_>; 6] = [
    (
        "--limit",
        "LARDER_LIMIT",
        &["", "20", "20/min", "20/min:user", "20/fortnight:key", "20rq/min:key", "20/min:key:v1", "20/min:key,loud"],
        "20/min:key:/v1/chat",
    ),
    (
        "--limit-store",
        "LARDER_LIMIT_STORE",
        &["", "memory:1MiB", "redis://", "redis://:s3cret@h/x", "http://user:s3cret@h", "redis://h?passwort=s3cret"],
        "redis://127.0.0.1:6379",
    ),
    ("--limit-store-timeout", "LARDER_LIMIT_STORE_TIMEOUT", &["", "0s", "-1s", "50"], "above zero"),
    (
        "--limit-on-failure",
        "LARDER_LIMIT_ON_FAILURE",
        &["", "shut", "local:", "local:0", "local:-1", "local:x", "open:2"],
        "local:REPLICAS",
    ),
    (
        "--trusted-proxy",
        "LARDER_TRUSTED_PROXY",
        &["", "localhost", "10.0.0.0/33", "10.0.0/8", "2001:db8::/129", "10.0.0.1:80"],
        "10.0.0.0/8",
    ),
    ("--forwarded-field", "LARDER_FORWARDED_FIELD", &["", "x-real-ip"], "x-forwarded-for"),
];

#[tokio::test]
async fn a_bad_value_is_said_with_its_flag_and_what_it_takes_and_nothing_secret() {
    assert_refused(&BAD, &GOOD, Some(SECRET)).await;
}

#[tokio::test]
async fn what_limits_can_not_be_made_of_ends_the_program_before_it_serves() {
    let (pem, missing) = (File::with("not PEM\n"), "/nowhere/at/all.pem");
    let tls = ["--limit=1/s:all", "--limit-store=rediss://127.0.0.1:9", "--limit-store-ca"];
    let plain = ["--limit=1/s:all", "--limit-store=redis://127.0.0.1:9", "--limit-store-ca"];
    let short = ("LARDER_LIMIT_SECRET", "s3cret");
    // The arguments, what is in the environment, and what is said.
    let cases: &[(&[&str], &[(&str, &str)], &[&str])] = &[
        (&["--limit=1/s:all", "--limit=2/s:all"], &[], &["--limit", "called rps", ",name=NAME"]),
        (&["--limit=1/s:all", "--limit=2/min:ip,name=rps"], &[], &["--limit", "called rps"]),
        (&["--limit=1/s:key"], &[short], &["LARDER_LIMIT_SECRET", "16 bytes"]),
        (&[tls[0], tls[1], tls[2], missing], &[], &["--limit-store-ca", "PEM", missing]),
        (&[tls[0], tls[1], tls[2], pem.path()], &[], &["--limit-store-ca", "PEM"]),
        (&[plain[0], plain[1], plain[2], pem.path()], &[], &["--limit-store-ca", "rediss://"]),
    ];
    let mut wrong = Vec::new();
    for (args, environment, said) in cases {
        let args: Vec<_> = GOOD.iter().chain(*args).copied().collect();
        let Ended { code, errors, .. } = run(&args, environment).await;
        let is_said = said.iter().all(|part| errors.contains(part)) && !errors.contains(SECRET);
        if code != Some(1) || !is_said || errors.contains("panicked") || errors.contains("listening") {
            wrong.push(format!("{args:?}: {code:?}, {errors}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn the_environment_does_what_flags_do() {
    let origin = origin().await;
    let url = origin.url();
    let environment = [
        ("LARDER_UPSTREAM", &*url),
        ("LARDER_LISTEN", "127.0.0.1:0"),
        ("LARDER_LIMIT", "2/min:ip 3/min:all,name=together"),
        ("LARDER_TRUSTED_PROXY", "10.0.0.0/8 127.0.0.1"),
        ("LARDER_FORWARDED_FIELD", "forwarded"),
    ];
    let proxy = Proxy::launch(&[], &environment).await;
    let (one, two) = ([("Forwarded", "for=203.0.113.1")], [("Forwarded", "for=203.0.113.2")]);
    assert_eq!(statuses(&proxy, &[&one, &one, &one, &two, &two]).await, [200, 200, 429, 200, 429]);
    let proxy = Proxy::launch(&["--limit=1/min:all"], &environment).await;
    assert_eq!(statuses(&proxy, &[&[], &[]]).await, [200, 429], "a flag goes before the environment");
    let help = run(&["--help"], &[]).await;
    for (flag, variable, _, _) in BAD.into_iter().chain([("--limit-store-ca", "LARDER_LIMIT_STORE_CA", &[][..], "")]) {
        assert!(help.out.contains(flag) && help.out.contains(variable), "{flag}: {}", help.out);
    }
    assert!(help.out.contains("LARDER_LIMIT_SECRET"), "{}", help.out);
    let Ended { out, .. } = run(&["--help"], &[("LARDER_LIMIT_STORE", "redis://:s3cret@h")]).await;
    assert!(!out.contains(SECRET), "what may be secret is not in the help: {out}");
}
