//! What counters are called in Redis.
//!
//! `{prefix}:limit:{{subject}}:{policy}:{law}`: what is in braces decides where a Cluster keeps it, so that all limits of one subject lie
//! together. With a group, that is in braces, and the subject stands at the end. The law is a part of the name because counters of
//! another law could not be read; an amount can be changed while counters live, a window begins anew.

use crate::{
    ConfigError,
    rate_limit::{Charge, Policy, Subject, window::Law},
};

/// The longest prefix.
const MAX: usize = 128;

pub(super) fn check(prefix: &str) -> Result<(), ConfigError> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"*?[]{}\\\"".contains(&byte);
    if (1..=MAX).contains(&prefix.len()) && prefix.bytes().all(plain) {
        return Ok(());
    }
    let problem =
        format!("{prefix:?} can't begin a key; take 1 to {MAX} visible ASCII characters without any of *?[]{{}}\\\"");
    Err(ConfigError::new("limiter::Redis prefix", problem))
}

/// A counter's name.
pub(super) fn counter(prefix: &str, policy: &Policy, subject: &Subject, group: Option<&Subject>) -> String {
    let (name, law) = (policy.name(), tag(policy.law()));
    match group {
        Some(group) => format!("{prefix}:limit:{{{group}}}:{name}:{law}:{subject}"),
        None => format!("{prefix}:limit:{{{subject}}}:{name}:{law}"),
    }
}

/// What decides where a charge is counted.
pub(super) fn place(charge: &Charge) -> &Subject {
    charge.group.as_ref().unwrap_or(&charge.subject)
}

fn tag(law: Law) -> String {
    match law {
        Law::Buckets { width, span } => format!("{width}x{span}"),
        Law::Weighted { window, .. } => format!("w{window}"),
        Law::Slots => "slots".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate_limit::{Algorithm, Quota};

    #[test]
    fn all_limits_of_a_subject_or_a_group_lie_together() {
        let subject = Subject::address([192, 0, 2, 7].into());
        let (policy, other) = (
            Policy::try_new("rpm", Quota::per_minute(1)).expect("a policy"),
            Policy::try_new("rpd", Quota::per_day(1).algorithm(Algorithm::Approximate)).expect("a policy"),
        );
        assert_eq!(counter("l", &policy, &subject, None), "l:limit:{ip:192.0.2.7}:rpm:2000000x30");
        assert_eq!(counter("l", &other, &subject, None), "l:limit:{ip:192.0.2.7}:rpd:w86400000000");
        let group = Subject::named("org", "acme");
        assert_eq!(counter("l", &policy, &subject, Some(&group)), "l:limit:{org:acme}:rpm:2000000x30:ip:192.0.2.7");
    }

    #[test]
    fn a_prefix_that_would_be_misread_is_refused() {
        for prefix in ["", "a*", "{a}", "a b", "caf\u{e9}"] {
            assert!(check(prefix).expect_err(prefix).to_string().contains("take"));
        }
        assert!(check("my-app:v1").is_ok());
    }
}
