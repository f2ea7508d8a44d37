//! What clients say in a request about how the provider shall cache it.

use crate::fingerprint::json;

/// Marks what a provider shall cache of a prompt, wherever a part of a prompt can stand.
const CACHE_CONTROL: &str = "cache_control";

/// Takes the marks away by which Anthropic's clients say what the provider shall cache: on the request, on tools, on parts of the
/// system prompt and of messages, and on what is in a part. What a tool's schema or a text says isn't touched.
pub(super) fn unmark(request: &mut json::Value<'_>) {
    let json::Value::Object(members) = request else { return };
    members.retain(|(name, _)| name != CACHE_CONTROL);
    for (name, value) in members {
        match &**name {
            "tools" | "system" => unmark_all(value, 0),
            "messages" => unmark_all(value, 2),
            _ => {}
        }
    }
}

/// Takes the marks of each of some parts, and of those that its `content` has, so many times over.
fn unmark_all(parts: &mut json::Value<'_>, depth: usize) {
    let json::Value::Array(parts) = parts else { return };
    for part in parts {
        let json::Value::Object(members) = part else { continue };
        members.retain(|(name, _)| name != CACHE_CONTROL);
        if depth > 0
            && let Some((_, content)) = members.iter_mut().find(|(name, _)| name == "content")
        {
            unmark_all(content, depth - 1);
        }
    }
}
